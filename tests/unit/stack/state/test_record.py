"""The record of a running stack: what it holds, and what is read back."""

from __future__ import annotations

import pytest

from backend_demo.errors import ConfigurationInvalid, NoStack
from backend_demo.settings import Settings
from backend_demo.stack.state.directory import StateDirectory


def test_the_record_holds_no_password(state: StateDirectory) -> None:
    state.record.save(Settings(state_dir=state.path, mqtt_password="secret", postgres_dsn="postgresql://me:secret@x/y"))
    assert "secret" not in state.stack_file.read_text()


def test_without_a_record_no_stack_runs(state: StateDirectory) -> None:
    assert state.record.kind() is None
    with pytest.raises(NoStack):
        state.record.settings()
    with pytest.raises(NoStack):
        state.record.add_copies({"kafka": 1})


def test_the_record_of_another_version_is_not_read(state: StateDirectory) -> None:
    state.stack_file.write_text('{"schema": "bdemo.stack/9"}')
    assert state.record.kind() is None
    with pytest.raises(ConfigurationInvalid, match=r"another version of bdemo \(schema 'bdemo.stack/9'\)"):
        state.record.settings()


def test_the_settings_of_a_stack_are_read_back(state: StateDirectory) -> None:
    state.record.save(Settings(state_dir=state.path, stack="compose", kafka_port=12345))
    assert state.record.kind() == "compose"
    assert state.record.settings()["kafka_port"] == 12345
    state.record.delete()
    assert state.record.kind() is None


def test_copies_add_up_until_the_stack_is_recorded_from_scratch(state: StateDirectory) -> None:
    state.record.save(Settings(state_dir=state.path))
    assert state.record.copies() == {}
    state.record.add_copies({"kafka": 1, "processing": 3})
    state.record.add_copies({"processing": 2, "loader": 1})
    assert state.record.copies() == {"kafka": 1, "processing": 2, "loader": 1}
    assert state.record.settings()["kafka_port"] == Settings().kafka_port
    state.record.save(Settings(state_dir=state.path))
    assert state.record.copies() == {}


def test_a_service_has_the_copies_asked_for_else_those_recorded_else_one(state: StateDirectory) -> None:
    names = ["kafka", "processing", "loader"]
    assert state.record.copies_for(names, {"loader": 2}) == {"kafka": 1, "processing": 1, "loader": 2}
    state.record.save(Settings(state_dir=state.path))
    state.record.add_copies({"processing": 3, "loader": 4})
    assert state.record.copies_for(names, {"loader": 2}) == {"kafka": 1, "processing": 3, "loader": 2}
