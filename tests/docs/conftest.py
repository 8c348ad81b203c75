"""One stack for all pages whose commands are run."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend_demo.testing import running_stack


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state directory of a stack with readings of five sensors."""
    folder = tmp_path_factory.mktemp("docs") / "state"
    with running_stack(folder):
        words = ("simulate", "--sensors", "5", "--rate", "10", "--duration", "3", "--state-dir", str(folder))
        subprocess.run([sys.executable, "-m", "backend_demo", *words], check=True, capture_output=True, timeout=120)
        yield folder
