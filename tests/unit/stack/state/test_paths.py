"""The folders of a state directory: who may read them, where sockets are, what is refused and what is deleted."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from backend_demo.errors import ConfigurationInvalid
from backend_demo.settings import Settings
from backend_demo.stack.services.table import users
from backend_demo.stack.state.directory import StateDirectory


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_may_read_anything(state: StateDirectory) -> None:
    state.record.save(Settings(state_dir=state.path))
    assert {mode(path) for path in (state.path, state.logs, state.locks_folder, state.sockets)} == {0o700}
    assert {mode(path) for path in (state.secrets_file, state.stack_file)} == {0o600}


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ConfigurationInvalid, match="not empty"):
        StateDirectory(tmp_path).create(users())
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("name", ["postgres", "logs", "secrets.json", "stack.json"])
def test_names_like_those_of_a_stack_make_no_state_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigurationInvalid, match="not empty"):
        StateDirectory(tmp_path).create(users())
    with pytest.raises(ConfigurationInvalid, match="has not made"):
        StateDirectory(tmp_path).wipe()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationInvalid, match=r"cannot use .*file as state directory"):
        StateDirectory(tmp_path / "file").create(users())


def test_the_sockets_of_a_deep_directory_have_short_paths(tmp_path: Path) -> None:
    deep = StateDirectory(tmp_path / ("d" * 100))
    deep.create(users())
    assert len(os.fsencode(deep.sockets)) < 80
    assert mode(deep.sockets) == 0o700
    assert StateDirectory(tmp_path / ("d" * 100)).sockets == deep.sockets != StateDirectory(tmp_path / "e").sockets
    deep.sockets.rmdir()


def test_a_wipe_keeps_files_of_others(state: StateDirectory) -> None:
    (state.path / "notes.txt").write_text("mine")
    state.log_of("kafka").write_text("a line")
    state.wipe()
    state.remove_empty()
    assert [path.name for path in state.path.iterdir()] == ["notes.txt"]


def test_a_wiped_directory_without_other_files_is_removed(state: StateDirectory) -> None:
    state.wipe()
    state.remove_empty()
    assert not state.path.exists()


def test_a_wipe_refuses_a_link_before_it_deletes_anything(state: StateDirectory, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    state.logs.rename(elsewhere)
    state.logs.symlink_to(elsewhere)
    with pytest.raises(ConfigurationInvalid, match="is a link"):
        state.wipe()
    assert state.secrets_file.exists()
