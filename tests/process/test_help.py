"""`--help` as a process: what it imports, and where it is printed."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Slow to import: only what a command needs, when it runs.
SLOW = (
    *("pydantic", "msgspec", "aiokafka", "faust", "paho", "sqlalchemy", "fastapi", "httpx"),
    *("psutil", "asyncio", "rich"),
)


def test_help_imports_nothing_slow() -> None:
    program = (
        "import sys; from backend_demo.cli.main import app; app(['--help'], standalone_mode=False); "
        f"sys.exit(' '.join(name for name in {SLOW} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "simulate" in done.stdout
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("group", [(), ("tail",), ("query",)], ids=" ".join)
def test_a_group_without_a_command_shows_its_help(group: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backend_demo", *group], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ")
    assert "error:" not in done.stderr
