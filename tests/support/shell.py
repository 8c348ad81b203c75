"""The `bdemo` command, run as a user would run it."""

import os
import subprocess
import sys
from pathlib import Path


class Shell:
    """Runs `bdemo` on one state directory."""

    def __init__(self, state_dir: Path, stack: str = "embedded") -> None:
        self.state_dir = state_dir
        self.stack = stack
        self.variables: dict[str, str] = {}
        """Further variables of the shell."""

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "backend_demo", *words, "--state-dir", str(self.state_dir)]

    def __call__(
        self, *words: str, code: int = 0, timeout_s: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs it to its end. Fails with its output when the exit code is not `code`."""
        done = subprocess.run(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, "BDEMO_STACK": self.stack, **self.variables, **environment},
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done
