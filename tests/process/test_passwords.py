"""No traceback, no error and no log shows the password of a DSN."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PASSWORD = "a-password-of-a-dsn"


def bdemo(*words: str, dsn: str) -> str:
    """All that the command prints."""
    command = [sys.executable, "-m", "backend_demo", *words]
    shell = {**os.environ, "BDEMO_POSTGRES_DSN": dsn}
    done = subprocess.run(command, env=shell, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "dsn",
    [
        f"mysql://bdemo:{PASSWORD}@127.0.0.1/x",
        f"postgresql://bdemo:{PASSWORD}@127.0.0.1:none/x",
        f"postgresql://bdemo:{PASSWORD}@127.0.0.1:1/x?sslmode=none",
        f"postgresql://bdemo:{PASSWORD}@127.0.0.1:1/x",
    ],
)
@pytest.mark.parametrize("words", [("--debug", "migrate"), ("migrate",)], ids=["debug", "plain"])
def test_no_error_shows_the_password(words: tuple[str, ...], dsn: str) -> None:
    said = bdemo(*words, dsn=dsn)
    assert "error" in said.lower()
    assert PASSWORD not in said


LOGS = """
from backend_demo import log
import structlog
log.set_up("info", form="json")
try:
    raise ValueError("postgresql://bdemo:a-password-of-a-dsn@host/x")
except ValueError:
    structlog.get_logger("backend_demo").exception("failed", dsn="postgresql://bdemo:a-password-of-a-dsn@host/x")
"""


def test_no_log_shows_the_password() -> None:
    done = subprocess.run([sys.executable, "-c", LOGS], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.count("postgresql://bdemo:***@host/x") == 2
    assert PASSWORD not in done.stderr
