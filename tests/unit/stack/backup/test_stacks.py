"""Backups of stacks that do not run: what is kept, what is replaced, and what is refused."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backend_demo.errors import (
    BackupInvalid,
    BdemoError,
    ConfigurationInvalid,
    DiskFull,
    NoStack,
    ResourceInUse,
    UsageError,
)
from backend_demo.stack.backup import kept, make, restore
from backend_demo.stack.backup.manifest import Manifest
from backend_demo.stack.services import kafka_data, postgres_server
from backend_demo.stack.services.kafka_jars import VERSION
from backend_demo.stack.services.service import KeptData
from backend_demo.stack.state.directory import StateDirectory
from tests.support.backups import END_OFFSETS, Silent, files, stopped_stack

Restore = Callable[..., Manifest]


@pytest.fixture
def stack(tmp_path: Path) -> StateDirectory:
    return stopped_stack(tmp_path / "state")


@pytest.fixture
def backup(stack: StateDirectory, tmp_path: Path) -> Path:
    make.make(stack, tmp_path / "file", Silent())
    return tmp_path / "file"


def into(folder: Path, file: Path, *, replace: bool = False) -> StateDirectory:
    """Restores a backup."""
    state = StateDirectory(folder)
    restore.restore(state, file, Silent(), replace=replace)
    return state


# -- making one


def test_it_says_what_is_in_it(stack: StateDirectory, tmp_path: Path) -> None:
    made = make.make(stack, tmp_path / "file", Silent())
    assert (made.stopped_s, made.problem) == (None, None)
    assert made.size_bytes == (tmp_path / "file").stat().st_size
    assert made.manifest.end_offsets == END_OFFSETS
    assert made.manifest.data_bytes == sum(len(data or b"") for data in files(stack).values())
    assert made.manifest.servers == {"kafka": VERSION, "postgres": postgres_server.VERSION}


def test_it_is_its_owners_and_takes_no_other_files_place(stack: StateDirectory, tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("mine")
    with pytest.raises(UsageError, match="file exists"):
        make.make(stack, file, Silent())
    assert file.read_text() == "mine"
    make.make(stack, file, Silent(), replace=True)
    assert file.stat().st_mode & 0o777 == 0o600
    link.symlink_to(file)
    for path in (tmp_path, link, Path("/dev/null")):
        with pytest.raises(UsageError, match="exists"):
            make.make(stack, path, Silent(), replace=True)
    with pytest.raises(UsageError, match="is in the state directory"):
        make.make(stack, stack.path / "file", Silent())
    with pytest.raises(UsageError, match="cannot write"):
        make.make(stack, tmp_path / "none" / "file", Silent())
    assert {path.name for path in tmp_path.iterdir()} == {"state", "file", "link"}


def test_without_a_stack_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(NoStack):
        make.make(StateDirectory(tmp_path / "none"), tmp_path / "file", Silent())
    assert list(tmp_path.iterdir()) == []


def test_a_compose_stack_is_refused(backup: Path, tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "compose")
    state.create()
    state.compose.mkdir()
    with pytest.raises(UsageError, match="belongs to a compose stack") as problem:
        make.make(state, tmp_path / "new", Silent())
    assert "do not support these yet" in problem.value.hint
    with pytest.raises(UsageError, match="belongs to a compose stack"):
        into(state.path, backup, replace=True)


def test_there_is_one_at_a_time(stack: StateDirectory, tmp_path: Path) -> None:
    with stack.locks.hold("backup"), pytest.raises(ResourceInUse, match=f"held by process {os.getpid()}"):
        make.make(stack, tmp_path / "file", Silent())
    assert {path.name for path in tmp_path.iterdir()} == {"state"}


def test_the_ends_of_topics_are_unknown_when_kafka_was_killed(stack: StateDirectory, tmp_path: Path) -> None:
    (stack.path / "kafka" / "data" / ".kafka_cleanshutdown").unlink()
    assert make.make(stack, tmp_path / "file", Silent()).manifest.end_offsets is None


# -- restoring one


def test_all_of_it_comes_back_and_nothing_else(stack: StateDirectory, backup: Path, tmp_path: Path) -> None:
    state = into(tmp_path / "new", backup)
    assert files(state) == files(stack)
    assert {path.name for path in state.path.iterdir()} == {
        *(".bdemo", "kafka", "postgres", "secrets.json"),
        *("locks", "logs", "run"),
    }
    assert list(state.logs.iterdir()) == []


def test_a_stack_is_replaced_only_when_told(stack: StateDirectory, backup: Path, tmp_path: Path) -> None:
    other = stopped_stack(tmp_path / "other")
    (other.path / "notes.txt").write_text("mine")
    (other.path / "prometheus").mkdir()
    before = files(other)
    with pytest.raises(UsageError, match="there is a stack in"):
        into(other.path, backup)
    assert files(other) == before
    into(other.path, backup, replace=True)
    assert files(other) == files(stack)
    assert (other.path / "notes.txt").read_text() == "mine"
    assert not (other.path / "prometheus").exists()


def test_what_bdemo_has_not_made_is_never_replaced(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("mine")
    for replace in (False, True):
        with pytest.raises(ConfigurationInvalid, match="not a state directory"):
            into(tmp_path / "photos", backup, replace=replace)
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["notes.txt"]


def test_a_link_in_a_stack_is_not_replaced(backup: Path, tmp_path: Path) -> None:
    other = stopped_stack(tmp_path / "other")
    (other.path / "compose").symlink_to(tmp_path / "nowhere")
    before = files(other)
    with pytest.raises(ConfigurationInvalid, match="is a link"):
        into(other.path, backup, replace=True)
    assert files(other) == before
    assert not other.restoring.exists()


@pytest.mark.parametrize(
    ("name", "problem", "why"),
    [
        ("none", UsageError, "does not exist"),
        ("state", UsageError, "is not a file"),
        ("text", BackupInvalid, "is not a backup"),
        ("half", BackupInvalid, "is damaged"),
    ],
)
def test_what_is_no_backup_changes_nothing(
    backup: Path, tmp_path: Path, name: str, problem: type[BdemoError], why: str
) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "half").write_bytes(backup.read_bytes()[:200_000])
    other = stopped_stack(tmp_path / "other")
    before = files(other)
    for folder, replace in ((other.path, True), (tmp_path / "new", False)):
        with pytest.raises(problem, match=why):
            into(folder, tmp_path / name, replace=replace)
    assert files(other) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user")
def test_a_backup_of_a_stranger_is_refused(backup: Path, tmp_path: Path) -> None:
    os.chown(backup, 12_345, -1)
    with pytest.raises(ConfigurationInvalid, match="belongs to user 12345"):
        into(tmp_path / "new", backup)


@pytest.mark.parametrize(("name", "version"), [("postgres", "17.2"), ("kafka", "99.0.0"), ("rabbit", "1")])
def test_data_of_another_version_are_refused(
    stack: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, version: str
) -> None:
    with monkeypatch.context() as patch:
        folder = kept.DATA[name].folder if name in kept.DATA else "kafka"
        patch.setitem(kept.DATA, name, KeptData(folder=folder, version=version, goes_on_with=bool))
        make.make(stack, tmp_path / "file", Silent())
    with pytest.raises(BackupInvalid, match=f"the backup holds data of {name} {version}, with which"):
        into(tmp_path / "new", tmp_path / "file")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("version", "goes_on"), [(VERSION, True), ("3.9.1", True), ("4.2.10", False), ("99", False), ("", True)]
)
def test_kafka_goes_on_with_older_data(version: str, goes_on: bool) -> None:
    assert kafka_data.goes_on_with(version) is goes_on


# -- one that was killed


def test_until_it_is_done_again_nothing_starts_there(stack: StateDirectory, backup: Path, tmp_path: Path) -> None:
    """Here without a stack; tests/process kills one."""
    state = StateDirectory(tmp_path / "new")
    state.create()
    (state.restoring / "kafka").mkdir(parents=True)
    with pytest.raises(ConfigurationInvalid, match="holds part of a backup"):
        state.create(["sensor"])
    with pytest.raises(ConfigurationInvalid, match="holds part of a backup"):
        make.make(state, tmp_path / "newer", Silent())
    into(state.path, backup)
    assert files(state) == files(stack)
    assert not state.restoring.exists()


def test_one_that_fails_after_one_that_was_killed_leaves_the_mark(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateDirectory(tmp_path / "new")
    state.create()
    (state.restoring / "kafka").mkdir(parents=True)

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "sync", full)
    with pytest.raises(DiskFull):
        into(state.path, backup)
    assert list(state.restoring.iterdir()) == []
    with pytest.raises(ConfigurationInvalid, match="holds part of a backup"):
        state.check_whole()
