"""`bdemo backup` and `restore` of a stack that does not run: what they refuse, and what is left when they are ended."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend_demo.stack.backup import kept
from backend_demo.stack.services.table import users
from backend_demo.stack.state.directory import StateDirectory
from tests.support.schemas import check
from tests.support.shell import Shell

CHECKPOINT = "0\n3\nsrc-data 1 7\n__consumer_offsets 0 9\nsrc-data 0 5\n"


@pytest.fixture
def stack(tmp_path: Path) -> Shell:
    """A directory as `down` leaves it; its servers have never run."""
    return made(StateDirectory(tmp_path / "state"), b"as it was")


def made(state: StateDirectory, data: bytes) -> Shell:
    state.create(users())
    for name in kept.DATA:
        (state.path / kept.DATA[name].folder / "empty").mkdir(parents=True)
        (state.path / kept.DATA[name].folder / "file").write_bytes(data + os.urandom(200_000))
    kafka = state.path / "kafka" / "data"
    (kafka / ".kafka_cleanshutdown").touch()
    (kafka / "recovery-point-offset-checkpoint").write_text(CHECKPOINT)
    (state.logs / "kafka.log").write_text("a line")
    return Shell(state.path)


def files(folder: Path) -> dict[str, bytes | None]:
    """What a backup keeps, with its content."""
    names = kept.names(StateDirectory(folder))
    found = [path for name in names for path in (folder / name, *(folder / name).rglob("*")) if path.exists()]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in found}


def test_there_and_back(stack: Shell, tmp_path: Path) -> None:
    printed = json.loads(stack("backup", str(tmp_path / "file"), "-o", "json").stdout)
    check(printed)
    assert printed["end_offsets"] == {"src-data": [5, 7]}
    assert (printed["stopped_s"], printed["data_bytes"]) == (
        None,
        sum(len(data or b"") for data in files(stack.state_dir).values()),
    )
    again = Shell(tmp_path / "again")
    found = json.loads(again("restore", str(tmp_path / "file"), "-o", "json").stdout)
    check(found)
    assert (found["restored"], found["end_offsets"]) == (True, printed["end_offsets"])
    assert files(again.state_dir) == files(stack.state_dir)
    assert not (again.state_dir / "logs" / "kafka.log").exists()
    assert not (again.state_dir / "stack.json").exists()
    assert (
        f"bdemo up --state-dir {tmp_path}/third" in Shell(tmp_path / "third")("restore", str(tmp_path / "file")).stderr
    )


def test_a_check_changes_nothing(stack: Shell, tmp_path: Path) -> None:
    stack("backup", str(tmp_path / "file"))
    assert "is whole" in Shell(tmp_path / "none")("restore", "--check", str(tmp_path / "file")).stdout
    assert not (tmp_path / "none").exists()


def test_a_backup_is_its_owners_and_takes_no_other_files_place(stack: Shell, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    assert f"{file} exists" in stack("backup", str(file), code=2).stderr
    assert file.read_text() == "mine"
    stack("backup", "--force", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    link = tmp_path / "link"
    link.symlink_to(file)
    for path in (tmp_path, link, Path("/dev/null")):
        assert "exists" in stack("backup", "--force", str(path), code=2).stderr
    assert "is in the state directory" in stack("backup", str(stack.state_dir / "file"), code=2).stderr
    assert "cannot write" in stack("backup", str(tmp_path / "none" / "file"), code=2).stderr
    assert {path.name for path in tmp_path.iterdir()} == {"state", "file", "link"}


def test_without_a_stack_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    assert "no stack" in Shell(tmp_path / "none")("backup", str(tmp_path / "file"), code=7).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_compose_stack_is_refused(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.create()
    state.compose.mkdir()
    said = Shell(state.path)("backup", str(tmp_path / "file"), code=2).stderr
    assert "belongs to a compose stack" in said
    assert "do not support these yet" in said


# -- where it is restored


def test_a_stack_is_replaced_only_when_told(stack: Shell, tmp_path: Path) -> None:
    other = made(StateDirectory(tmp_path / "other"), b"other")
    (other.state_dir / "notes.txt").write_text("mine")
    before = files(other.state_dir)
    stack("backup", str(tmp_path / "file"))
    assert "there is a stack in" in other("restore", str(tmp_path / "file"), code=2).stderr
    assert files(other.state_dir) == before
    other("restore", "--force", str(tmp_path / "file"))
    assert files(other.state_dir) == files(stack.state_dir)
    assert (other.state_dir / "notes.txt").read_text() == "mine"


def test_what_bdemo_has_not_made_is_never_replaced(stack: Shell, tmp_path: Path) -> None:
    stack("backup", str(tmp_path / "file"))
    other = tmp_path / "photos"
    other.mkdir()
    (other / "secrets.json").write_text("mine")
    assert "not a state directory" in Shell(other)("restore", "--force", str(tmp_path / "file"), code=3).stderr
    assert [path.name for path in other.iterdir()] == ["secrets.json"]


def test_a_link_in_a_stack_is_not_replaced(stack: Shell, tmp_path: Path) -> None:
    stack("backup", str(tmp_path / "file"))
    other = made(StateDirectory(tmp_path / "other"), b"other")
    (other.state_dir / "tls").symlink_to(tmp_path)
    before = files(other.state_dir)
    assert "is a link" in other("restore", "--force", str(tmp_path / "file"), code=3).stderr
    assert files(other.state_dir) == before
    assert not StateDirectory(other.state_dir).restoring.exists()


@pytest.mark.parametrize(
    ("name", "why"), [("none", "does not exist"), ("state", "is not a file"), ("text", "not a backup")]
)
def test_what_is_no_backup_is_refused(stack: Shell, tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "text").write_text("text")
    done = Shell(tmp_path / "new")("restore", str(tmp_path / name), code=8 if name == "text" else 2)
    assert why in done.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user")
def test_a_backup_of_a_stranger_is_refused(stack: Shell, tmp_path: Path) -> None:
    stack("backup", str(tmp_path / "file"))
    os.chown(tmp_path / "file", 12_345, -1)
    assert "belongs to user 12345" in Shell(tmp_path / "new")("restore", str(tmp_path / "file"), code=3).stderr


@pytest.mark.parametrize(("name", "version"), [("postgres", "17.2"), ("kafka", "99.0.0"), ("rabbit", "1")])
def test_data_of_another_version_are_refused(
    stack: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, version: str
) -> None:
    from backend_demo.stack.backup import make
    from backend_demo.stack.services.service import KeptData

    folder = kept.DATA[name].folder if name in kept.DATA else "kafka"
    monkeypatch.setitem(kept.DATA, name, KeptData(folder=folder, version=version, goes_on_with=lambda version: True))
    make.make(StateDirectory(stack.state_dir), tmp_path / "file", Silent())
    said = Shell(tmp_path / "new")("restore", str(tmp_path / "file"), code=8).stderr
    assert f"the backup holds data of {name} {version}, with which" in said
    assert not (tmp_path / "new").exists()


class Silent:
    """Shows nothing."""

    def step(self, what: str, total: int | None = None) -> None: ...
    def advance(self, count: int) -> None: ...
    @contextlib.contextmanager
    def starting(self) -> Iterator[object]:
        raise AssertionError("nothing is to be started")
        yield


# -- ended in the middle

#: The process dies where it makes sure that all is on the disk, or in the middle of its moves.
DEATHS = {
    "while it is unpacked": "os.sync = die",
    "while it is moved": "pathlib.Path.rename = lambda *a: (rename(*a), die()) if a[0].name == 'kafka' else rename(*a)",
}


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS.keys())
@pytest.mark.parametrize("force", [False, True])
def test_a_restore_that_is_killed_is_done_again(stack: Shell, tmp_path: Path, death: str, force: bool) -> None:
    stack("backup", str(tmp_path / "file"))
    other = made(StateDirectory(tmp_path / "other"), b"x") if force else Shell(tmp_path / "other")
    words = ["restore", *(["--force"] if force else []), str(tmp_path / "file")]
    program = f"""
import os, pathlib, signal, sys
def die(): os.kill(os.getpid(), signal.SIGKILL)
rename = pathlib.Path.rename
{death}
sys.argv = {["bdemo", *words, "--state-dir", str(other.state_dir)]!r}
from backend_demo.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    for refused in (["up"], ["up", "--stack", "compose"], ["backup", str(tmp_path / "new")]):
        assert "holds part of a backup" in other(*refused, code=3).stderr
    other(*words)
    assert files(other.state_dir) == files(stack.state_dir)
    assert not StateDirectory(other.state_dir).restoring.exists()


def test_what_a_killed_restore_has_left_can_be_wiped(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.create()
    (state.restoring / "kafka").mkdir(parents=True)
    Shell(state.path)("down", "--wipe")
    assert not state.path.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_no_half_backup(stack: Shell, small_disk: Path) -> None:
    old = small_disk / "file"
    old.write_text("an older backup")
    said = stack("backup", "--force", str(old), code=6).stderr
    assert f"cannot write {old}: No space left on device" in said
    assert [(path.name, path.read_text()) for path in small_disk.iterdir()] == [("file", "an older backup")]


def test_a_disk_that_is_too_small_is_told_before_anything_changes(
    stack: Shell, small_disk: Path, tmp_path: Path
) -> None:
    stack("backup", str(tmp_path / "file"))
    said = Shell(small_disk / "new")("restore", str(tmp_path / "file"), code=6).stderr
    assert "the backup needs 0.4 MB there, and 0.3 MB are free" in said
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(
    stack: Shell, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend_demo.errors import DiskFull
    from backend_demo.stack.backup import restore

    stack("backup", str(tmp_path / "file"))
    monkeypatch.setattr(restore, "_check_room", lambda path, manifest: None)
    with pytest.raises(DiskFull, match="No space left"):
        restore.restore(StateDirectory(small_disk / "new"), tmp_path / "file", Silent())
    assert list(small_disk.iterdir()) == []


def test_a_file_that_may_not_grow_leaves_none(stack: Shell, tmp_path: Path) -> None:
    """As on a file system for small files."""
    done = subprocess.run(
        stack.command("backup", str(tmp_path / "file"), "-o", "json"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        json.loads(done.stdout)["error"]["message"] == f"cannot write {tmp_path / 'file'}: {os.strerror(errno.EFBIG)}"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"state"}
