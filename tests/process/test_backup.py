"""`bdemo backup` and `restore` as commands, killed in the middle, and on a disk that is full."""

from __future__ import annotations

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

from backend_demo.errors import DiskFull
from backend_demo.stack.backup import make, restore
from backend_demo.stack.state.directory import StateDirectory
from tests.support.backups import END_OFFSETS, Silent, files, stopped_stack
from tests.support.schemas import check
from tests.support.shell import Shell


@pytest.fixture
def stack(tmp_path: Path) -> StateDirectory:
    return stopped_stack(tmp_path / "state")


@pytest.fixture
def backup(stack: StateDirectory, tmp_path: Path) -> Path:
    make.make(stack, tmp_path / "file", Silent())
    return tmp_path / "file"


def test_there_and_back(stack: StateDirectory, tmp_path: Path) -> None:
    file, again = tmp_path / "file", Shell(tmp_path / "again")
    made = json.loads(Shell(stack.path)("backup", str(file), "-o", "json").stdout)
    check(made)
    assert (made["stopped_s"], made["end_offsets"]) == (None, END_OFFSETS)
    assert again("restore", "--check", str(file)).stdout.startswith(f"{file} is whole\nof ")
    assert not again.state_dir.exists()
    done = again("restore", str(file))
    assert done.stdout == ""
    assert f"start it: bdemo up --state-dir {again.state_dir}" in done.stderr
    assert files(StateDirectory(again.state_dir)) == files(stack)
    found = json.loads(again("restore", "--force", str(file), "-o", "json").stdout)
    check(found)
    assert (found["restored"], found["end_offsets"]) == (True, END_OFFSETS)


#: The process dies where it makes sure that all is on the disk, or in the middle of its moves.
DEATHS = {
    "while it is unpacked": "os.sync = die",
    "while it is moved": "pathlib.Path.rename = lambda *a: (rename(*a), die()) if a[0].name == 'kafka' else rename(*a)",
}


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS.keys())
@pytest.mark.parametrize("replace", [False, True])
def test_a_restore_that_is_killed_is_done_again(
    stack: StateDirectory, backup: Path, tmp_path: Path, death: str, replace: bool
) -> None:
    state = stopped_stack(tmp_path / "other") if replace else StateDirectory(tmp_path / "other")
    program = f"""
import os, pathlib, signal
from backend_demo.stack.backup import restore
from backend_demo.stack.state.directory import StateDirectory
from tests.support.backups import Silent
def die(): os.kill(os.getpid(), signal.SIGKILL)
rename = pathlib.Path.rename
{death}
state, backup = StateDirectory(pathlib.Path({str(state.path)!r})), pathlib.Path({str(backup)!r})
restore.restore(state, backup, Silent(), replace={replace})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "holds part of a backup" in Shell(state.path)("up", code=3).stderr
    restore.restore(state, backup, Silent(), replace=replace)
    assert files(state) == files(stack)
    assert not state.restoring.exists()


def test_what_a_killed_restore_has_left_can_be_wiped(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.create()
    (state.restoring / "kafka").mkdir(parents=True)
    Shell(state.path)("down", "--wipe")
    assert not state.path.exists()


# -- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_no_half_backup(stack: StateDirectory, small_disk: Path) -> None:
    old = small_disk / "file"
    old.write_text("an older backup")
    said = Shell(stack.path)("backup", "--force", str(old), code=DiskFull.exit_code).stderr
    assert f"cannot write {old}: No space left on device" in said
    assert [(path.name, path.read_text()) for path in small_disk.iterdir()] == [("file", "an older backup")]


def test_a_disk_that_is_too_small_is_told_before_anything_changes(backup: Path, small_disk: Path) -> None:
    with pytest.raises(DiskFull, match=r"the backup needs 0\.4 MB there, and 0\.3 MB are free"):
        restore.restore(StateDirectory(small_disk / "new"), backup, Silent())
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(backup: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "_check_room", lambda path, manifest: None)
    with pytest.raises(DiskFull, match="No space left"):
        restore.restore(StateDirectory(small_disk / "new"), backup, Silent())
    assert list(small_disk.iterdir()) == []


def test_a_file_that_may_not_grow_leaves_none(stack: StateDirectory, tmp_path: Path) -> None:
    """As on a file system that has no large files."""
    done = subprocess.run(
        Shell(stack.path).command("backup", str(tmp_path / "file"), "-o", "json"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    message = json.loads(done.stdout)["error"]["message"]
    assert message == f"cannot write {tmp_path / 'file'}: {os.strerror(errno.EFBIG)}"
    assert {path.name for path in tmp_path.iterdir()} == {"state"}
