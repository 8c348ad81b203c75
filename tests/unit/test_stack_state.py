"""The state directory: who may read it, its locks, what it refuses."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from backend_demo.errors import ConfigurationInvalid, NoStack, ResourceInUse
from backend_demo.settings import Settings
from backend_demo.stack.state import StateDirectory


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path / "state")
    state.create()
    return state


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_its_owner_s_alone(state: StateDirectory) -> None:
    state.save(Settings(state_dir=state.path))
    assert {mode(path) for path in (state.path, state.logs, state.locks, state.sockets)} == {0o700}
    assert {mode(path) for path in (state.secrets_file, state.stack_file)} == {0o600}


def test_passwords_are_made_once_and_differ(state: StateDirectory) -> None:
    passwords = json.loads(state.secrets_file.read_text())
    assert len(set(passwords.values())) == len(passwords)
    state.create()
    assert json.loads(state.secrets_file.read_text()) == passwords


def test_the_record_holds_no_password(state: StateDirectory) -> None:
    state.save(Settings(state_dir=state.path, mqtt_password="secret", postgres_dsn="postgresql://me:secret@x/y"))
    assert "secret" not in state.stack_file.read_text()


def test_attached_settings_lead_to_the_running_stack(state: StateDirectory) -> None:
    state.save(Settings(state_dir=state.path, postgres_port=15432, mqtt_port=11883))
    attached = state.attached(Settings(), mqtt="bridge", postgres="bdemo_reader")
    assert attached.postgres_dsn.startswith("postgresql://bdemo_reader:")
    assert attached.postgres_dsn.endswith("@127.0.0.1:15432/temperature")
    assert (attached.mqtt_username, attached.mqtt_password) == ("bridge", state.secret("bridge"))


def test_without_a_record_no_stack_runs(state: StateDirectory) -> None:
    with pytest.raises(NoStack):
        state.saved()


def test_the_record_of_another_version_is_not_read(state: StateDirectory) -> None:
    state.stack_file.write_text('{"schema": "bdemo.stack/9"}')
    with pytest.raises(ConfigurationInvalid, match="another version"):
        state.saved()


def test_the_record_knows_how_many_copies_are_wanted(state: StateDirectory) -> None:
    state.save(Settings(state_dir=state.path))
    assert state.wanted() == {}
    state.want({"kafka": 1, "processing": 3})
    state.want({"processing": 2, "loader": 1})
    assert state.wanted() == {"kafka": 1, "processing": 2, "loader": 1}
    assert state.saved()["kafka_port"] == Settings().kafka_port
    state.save(Settings(state_dir=state.path))
    assert state.wanted() == {}
    state.forget()
    with pytest.raises(NoStack):
        state.want({"kafka": 1})


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ConfigurationInvalid, match="not empty"):
        StateDirectory(tmp_path).create()
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_sockets_of_a_deep_directory_stand_where_their_paths_are_short(tmp_path: Path) -> None:
    deep = StateDirectory(tmp_path / ("d" * 100))
    deep.create()
    assert len(os.fsencode(deep.sockets)) < 80
    assert mode(deep.sockets) == 0o700
    assert StateDirectory(tmp_path / ("d" * 100)).sockets == deep.sockets != StateDirectory(tmp_path / "e").sockets
    deep.sockets.rmdir()


def test_a_lock_keeps_others_out_and_names_its_owner(state: StateDirectory) -> None:
    held = f"held by process {os.getpid()}"
    with state.lock("stack"), pytest.raises(ResourceInUse, match=held), state.lock("stack"):
        pass
    assert not state.is_locked("stack")
    with state.lock("stack"):
        assert state.is_locked("stack")
    with state.lock("stack"):
        pass
    assert list(state.locks.iterdir()) == []


def test_a_lock_falls_with_its_process(state: StateDirectory) -> None:
    program = (
        "import os, pathlib, sys; from backend_demo.stack.state import StateDirectory\n"
        "lock = StateDirectory(pathlib.Path(sys.argv[1])).lock('loader'); lock.__enter__(); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", program, str(state.path)], check=False, timeout=30)
    assert [path.name for path in state.locks.iterdir()] == ["loader"]
    with state.lock("stack"):
        state.remove_dead_locks()
        assert [path.name for path in state.locks.iterdir()] == ["stack"]
