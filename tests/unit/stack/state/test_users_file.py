"""Edits of the users file: whole, private, and none of them lost."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from backend_demo.errors import ConfigurationInvalid, UsageError
from backend_demo.mqtt.passwords import HashCost, StoredPassword
from backend_demo.mqtt.users_file import Rights, UserEntry
from backend_demo.stack.state.users_file import UsersFile

ENTRY = UserEntry(StoredPassword(HashCost(4), b"s" * 16, b"d" * 32), Rights(publish=("#",)))


def with_user(name: str, users: Mapping[str, UserEntry]) -> Mapping[str, UserEntry]:
    return {**users, name: ENTRY}


@pytest.fixture
def users(tmp_path: Path) -> UsersFile:
    return UsersFile(tmp_path / "mqtt" / "users.json")


def test_an_edit_is_there_for_the_next_reader_and_for_its_owner_only(users: UsersFile) -> None:
    assert users.read() == {}
    users.edit(lambda found: with_user("pump", found))
    users.edit(lambda found: with_user("valve", found))
    assert users.read() == {"pump": ENTRY, "valve": ENTRY}
    assert users.file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in users.file.parent.iterdir()] == ["users.json"]


def test_an_edit_that_changes_nothing_does_not_touch_the_file(users: UsersFile) -> None:
    users.edit(lambda found: found)
    before = users.file.stat()
    users.edit(lambda found: dict(found))
    assert (users.file.stat().st_mtime_ns, users.file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_an_edit_that_is_refused_writes_nothing(users: UsersFile) -> None:
    def refused(found: Mapping[str, UserEntry]) -> Mapping[str, UserEntry]:
        raise UsageError("no")

    users.edit(lambda found: with_user("pump", found))
    before = users.file.read_bytes()
    with pytest.raises(UsageError):
        users.edit(refused)
    assert users.file.read_bytes() == before


def test_edits_at_once_lose_nothing(users: UsersFile) -> None:
    first_reads, second_waits = threading.Event(), threading.Event()

    def slow(found: Mapping[str, UserEntry]) -> Mapping[str, UserEntry]:
        first_reads.set()
        second_waits.wait(0.3)  # without the lock, the other one reads and writes meanwhile
        return with_user("slow", found)

    thread = threading.Thread(target=users.edit, args=(slow,))
    thread.start()
    assert first_reads.wait(10)
    users.edit(lambda found: with_user("quick", found))
    second_waits.set()
    thread.join()
    assert set(users.read()) == {"slow", "quick"}


def test_a_file_that_cannot_be_used_is_not_replaced(users: UsersFile) -> None:
    users.file.parent.mkdir()
    users.file.write_text("{")
    with pytest.raises(ConfigurationInvalid, match=r"users\.json: not JSON"):
        users.edit(lambda found: with_user("pump", found))
    assert users.file.read_text() == "{"


def test_a_folder_in_its_place_is_an_error_with_its_reason(users: UsersFile) -> None:
    users.file.mkdir(parents=True)
    with pytest.raises(ConfigurationInvalid, match=r"cannot read the MQTT users in .*: Is a directory"):
        users.read()
    users.file.rmdir()
    users.file.parent.rmdir()
    users.file.parent.write_text("")
    with pytest.raises(ConfigurationInvalid, match=r"cannot write the MQTT users in .*: "):
        users.edit(lambda found: found)
