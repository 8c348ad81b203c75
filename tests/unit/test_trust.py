"""Files of strangers, and secrets that others may read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backend_demo.errors import ConfigurationInvalid
from backend_demo.settings import load
from backend_demo.stack.open import stack_in
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.trust import check_owner, check_private

#: A user that is neither this one nor root; only root can give files to it.
STRANGER = 12_345

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.touch(mode=0o600)
    return file


def test_a_file_of_this_user_is_obeyed(file: Path) -> None:
    check_owner(file, hint="")
    check_owner(file.with_name("none"), hint="")


def test_what_everybody_may_write_is_nobodys(file: Path) -> None:
    file.chmod(0o666)
    with pytest.raises(ConfigurationInvalid, match="may be written by everybody"):
        check_owner(file, hint="")


def test_of_a_folder_like_tmp_only_the_owner_removes_files(file: Path) -> None:
    file.parent.chmod(0o1777)
    check_owner(file.parent, hint="")


@as_root
def test_a_file_of_a_stranger_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(file, STRANGER, -1)
    with pytest.raises(ConfigurationInvalid, match=f"belongs to user {STRANGER}"):
        check_owner(file, hint="")
    monkeypatch.setenv("SUDO_UID", str(STRANGER))  # who became root
    check_owner(file, hint="")


@pytest.mark.parametrize(("mode", "refused"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_secrets_are_their_owners(file: Path, mode: int, refused: bool) -> None:
    file.chmod(mode)
    if refused:
        with pytest.raises(ConfigurationInvalid, match="which holds secrets"):
            check_private(file)
    else:
        check_private(file)


@as_root
@pytest.mark.parametrize("name", ["bdemo.toml", ".env"])
def test_settings_of_a_stranger_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("")
    load()
    os.chown(name, STRANGER, -1)
    with pytest.raises(ConfigurationInvalid, match=f"belongs to user {STRANGER}"):
        load()


def _record(state: StateDirectory) -> object:
    return state.record.settings()


def _stack(state: StateDirectory) -> object:
    return stack_in(state.path)


@as_root
@pytest.mark.parametrize("use", [_record, _stack])
def test_a_state_directory_of_a_stranger_is_refused(tmp_path: Path, use: Callable[[StateDirectory], object]) -> None:
    state = StateDirectory(tmp_path / "state")
    state.create()
    state.stack_file.write_text('{"schema": "bdemo.stack/1", "settings": {"stack": "embedded"}}')
    use(state)
    os.chown(state.path, STRANGER, -1)
    with pytest.raises(ConfigurationInvalid, match=f"belongs to user {STRANGER}"):
        use(state)


def test_passwords_that_others_may_read_are_refused(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.create(["sensor"])
    assert state.secrets.of("sensor")
    state.secrets_file.chmod(0o644)
    with pytest.raises(ConfigurationInvalid, match="which holds secrets"):
        state.secrets.of("sensor")


def test_a_link_is_no_lock(tmp_path: Path) -> None:
    state, target = StateDirectory(tmp_path / "state"), tmp_path / "target"
    state.create()
    target.write_text("mine")
    (state.locks_folder / "stack").symlink_to(target)
    with pytest.raises(ConfigurationInvalid, match="is a link"), state.locks.hold("stack"):
        pass
    assert target.read_text() == "mine"
