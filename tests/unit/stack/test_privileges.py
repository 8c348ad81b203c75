"""Whether a user reaches a file is decided by the folders above it, too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend_demo.stack.privileges import reaches

OTHER = os.geteuid() + 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "folder" / "file"
    found.parent.mkdir()
    found.write_text("")
    return found


@pytest.mark.parametrize(
    ("folder", "mode", "owner"), [(0o711, 0o644, True), (0o700, 0o644, True), (0o711, 0o200, False)]
)
def test_the_owner_needs_the_owners_bits(file: Path, folder: int, mode: int, owner: bool) -> None:
    file.parent.chmod(folder)
    file.chmod(mode)
    assert reaches(file, uid=os.geteuid(), gid=os.getegid()) is owner


def test_others_need_every_folder_above(file: Path) -> None:
    readable = Path("/etc/passwd")
    assert reaches(readable, uid=OTHER)
    file.parent.chmod(0o700)
    assert not reaches(file, uid=OTHER)


def test_a_link_leads_to_where_it_points(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/etc/passwd")
    assert reaches(link, uid=OTHER)


def test_what_is_not_there_is_not_reached(tmp_path: Path) -> None:
    assert not reaches(tmp_path / "none", uid=os.geteuid(), gid=os.getegid())
