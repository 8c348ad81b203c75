"""`bdemo top` in a terminal, and what it refuses."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path


def in_a_terminal(*words: str, term: str = "xterm") -> tuple[int, str]:
    """Exit code of `bdemo top`, and all that it wrote there."""
    ours, theirs = pty.openpty()
    try:
        code = subprocess.run(
            [sys.executable, "-m", "backend_demo", "top", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            timeout=60,
            check=False,
            env={**os.environ, "TERM": term},
        ).returncode
        return code, os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_terminal_that_cannot_be_drawn_on_is_refused(tmp_path: Path) -> None:
    code, told = in_a_terminal("--state-dir", str(tmp_path), term="dumb")
    assert (code, "needs a terminal" in told) == (2, True)


def test_without_a_stack_a_terminal_is_left_as_it_was(tmp_path: Path) -> None:
    code, told = in_a_terminal("--state-dir", str(tmp_path))
    assert code == 7
    assert "\x1b[?1049h" not in told
