"""What a program imports at its start: each library of these costs it more than all else that it does."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMAND = """
import sys
from backend_demo.cli.main import main
sys.argv = ["bdemo", "down", "--state-dir", "/nowhere"]
try:
    main()
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    ("program", "absent"),
    [
        ("import backend_demo.http_client", {"rich", "click", "pygments"}),
        ("import backend_demo.log", {"rich"}),
        (COMMAND, {"pydantic", "httpx", "faust", "aiokafka", "sqlalchemy"}),
    ],
    ids=["http_client", "log", "bdemo down"],
)
def test_what_nobody_uses_is_not_imported(program: str, absent: set[str]) -> None:
    told = f"{program}\nimport sys\nprint('imported:', *sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "imported:"
