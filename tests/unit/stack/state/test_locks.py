"""Locks: they keep others out and name their owner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend_demo.errors import ResourceInUse
from backend_demo.stack.state.locks import Locks


def test_a_lock_keeps_others_out_and_names_its_owner(tmp_path: Path) -> None:
    locks, held = Locks(tmp_path / "locks"), f"held by process {os.getpid()}"
    with locks.hold("stack"), pytest.raises(ResourceInUse, match=held), locks.hold("stack"):
        pass
    assert not locks.is_held("stack")
    with locks.hold("stack"):
        assert locks.is_held("stack")
    with locks.hold("stack"):
        pass
    assert list((tmp_path / "locks").iterdir()) == []


def test_the_locks_of_processes_that_were_killed_are_removed(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    (tmp_path / "loader").write_text("12345")
    with locks.hold("stack"):
        locks.remove_dead()
        assert [path.name for path in tmp_path.iterdir()] == ["stack"]
