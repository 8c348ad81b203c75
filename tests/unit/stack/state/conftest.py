"""A state directory that is there, without a stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend_demo.stack.services.table import users
from backend_demo.stack.state.directory import StateDirectory


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path / "state")
    state.create(users())
    return state
