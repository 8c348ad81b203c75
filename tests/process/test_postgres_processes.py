"""PostgreSQL's processes are found by their data directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from backend_demo.stack.services import postgres_server


def test_a_shell_in_the_data_directory_is_no_postgres(tmp_path: Path) -> None:
    program = "print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as shell:
        assert shell.stdout is not None
        assert shell.stdin is not None
        shell.stdout.readline()
        assert postgres_server.backends_in(tmp_path) == []
        shell.stdin.close()
