"""Password checks with their thread: bounded, fair, remembered, and beside the event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backend_demo.errors import ConfigurationInvalid
from backend_demo.mqtt import checks
from backend_demo.mqtt.checks import PasswordChecks
from backend_demo.mqtt.passwords import HashCost, StoredPassword
from backend_demo.mqtt.users import CheckBusy, Rights, Users
from backend_demo.mqtt.users_file import UserEntry, serialise

CHEAP = HashCost(4)
RIGHTS = Rights(publish=("#",))


def entry(password: bytes, rights: Rights = RIGHTS, cost: HashCost = CHEAP) -> UserEntry:
    return UserEntry(StoredPassword.of(password, cost), rights)


def write(file: Path, users: dict[str, UserEntry]) -> None:
    """As an editor of the file does it: whole or not at all."""
    temporary = file.with_suffix(".tmp")
    temporary.write_text(serialise(users))
    temporary.replace(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "users.json"
    write(file, {"pump": entry(b"right")})
    return file


@asynccontextmanager
async def using(file: Path) -> AsyncIterator[Users]:
    users = Users(file)
    try:
        yield users
    finally:
        users.close()


def run(test: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def count_hashes(monkeypatch: pytest.MonkeyPatch, before: Callable[[], object] = lambda: None) -> list[bytes]:
    """The passwords that cost a hash, from now on; `before` is called in the thread, ahead of each."""
    found: list[bytes] = []
    real = StoredPassword.accepts

    def accepts(self: StoredPassword, password: bytes) -> bool:
        found.append(password)
        before()
        return real(self, password)

    monkeypatch.setattr(StoredPassword, "accepts", accepts)
    return found


def test_only_the_right_password_gives_rights(file: Path) -> None:
    async def test() -> None:
        async with using(file) as users:
            assert await users.check("pump", b"right") == RIGHTS
            assert await users.check("pump", b"wrong") is None
            assert await users.check("pump", b"") is None
            assert await users.check("nobody", b"right") is None
            assert await users.check("no such name/", b"right") is None

    run(test())


def test_a_right_password_costs_one_hash_and_a_wrong_one_costs_each_time(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        hashed = count_hashes(monkeypatch)
        async with using(file) as users:
            fleet = await asyncio.gather(*(users.check("pump", b"right") for _ in range(1000)))
            assert fleet == [RIGHTS] * 1000
            assert await users.check("pump", b"right") == RIGHTS
            assert hashed == [b"right"]
            for _ in range(3):
                assert await users.check("pump", b"wrong") is None
            assert hashed == [b"right"] + [b"wrong"] * 3

    run(test())


def test_an_unknown_user_costs_as_much_as_one_that_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[HashCost] = []
    monkeypatch.setattr(StoredPassword, "accepts", lambda self, password: bool(costs.append(self.cost)))
    file = tmp_path / "users.json"
    write(file, {"pump": entry(b"right", cost=HashCost(14))})

    async def test() -> None:
        async with using(file) as users:
            await users.check("pump", b"wrong")
            await users.check("nobody", b"wrong")

    run(test())
    assert costs == [HashCost(14)] * 2


def test_an_edit_of_the_file_counts_at_once(file: Path) -> None:
    async def test() -> None:
        async with using(file) as users:
            assert users.version == 1
            before = await users.check("pump", b"right")
            assert before == RIGHTS
            write(file, {"pump": entry(b"other"), "valve": entry(b"v", Rights(subscribe=("a/#",)))})
            assert await users.check("pump", b"right") is None
            assert await users.check("pump", b"other") == RIGHTS
            assert await users.check("valve", b"v") == Rights(subscribe=("a/#",))
            after = users.rights("pump")
            assert after == RIGHTS
            assert after.login != before.login  # the connections with the old password are told apart
            assert users.version == 2
            write(file, {"pump": entry(b"other")})
            assert users.rights("valve") is None
            assert users.rights("pump") == RIGHTS
            assert await users.check("valve", b"v") is None
            assert users.version == 3

    run(test())


def test_a_user_that_is_removed_while_its_password_is_checked_gets_no_rights(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        count_hashes(monkeypatch, before=lambda: write(file, {}))
        async with using(file) as users:
            assert await users.check("pump", b"right") is None

    run(test())


def test_a_file_that_cannot_be_used_changes_nothing(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    breaks = (lambda: file.write_text(file.read_text()[:-20]), lambda: file.write_text("{}"), file.unlink)

    async def test() -> None:
        async with using(file) as users:
            for broken in breaks:
                broken()
                assert users.rights("pump") == RIGHTS
                assert users.rights("pump") == RIGHTS
            assert users.version == 1
            write(file, {})
            assert users.version == 2
            assert users.rights("pump") is None

    run(test())
    # once for each state of the file
    assert capfd.readouterr().out.count("mqtt users not read again") == 3


@pytest.mark.parametrize("text", [None, "{}"])
def test_a_server_does_not_start_without_its_users(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "users.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationInvalid, match=f"cannot use the MQTT users in {file}"):
        Users(file)


class Gate:
    """Work that waits until it is let through, and the order in which it ran."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.ran: list[str] = []

    def work(self, name: str) -> Callable[[], bool]:
        def run() -> bool:
            self.open.wait(30)
            self.ran.append(name)
            return True

        return run


def test_a_check_beyond_the_bound_is_refused_and_others_keep_their_turn() -> None:
    async def test() -> None:
        pool, gate = PasswordChecks(), Gate()

        async def ask(name: str, origin: str, number: int) -> bool:
            key = f"{name}/{origin}/{number}".encode()
            return await pool.run(key, gate.work(f"{name}@{origin}"), origin=origin, name=name)

        async with asyncio.TaskGroup() as group:
            first = group.create_task(ask("first", "o", 0))
            await asyncio.sleep(0)
            guesses = [group.create_task(ask("sensor", "attacker", each)) for each in range(checks.WAITING_PER_NAME)]
            await asyncio.sleep(0)
            with pytest.raises(CheckBusy):
                await ask("sensor", "attacker", -1)
            others = [group.create_task(ask("sensor", f"o{each}", 0)) for each in range(5)]
            await asyncio.sleep(0)
            gate.open.set()
        pool.close()
        assert first.result()
        assert all(task.result() for task in (*guesses, *others))
        assert gate.ran[:7] == ["first@o", "sensor@attacker", *(f"sensor@o{each}" for each in range(5))]

    run(test())


def test_no_more_wait_than_the_bound_whoever_asks() -> None:
    async def test() -> None:
        pool, gate = PasswordChecks(), Gate()
        results = [
            asyncio.ensure_future(pool.run(str(each).encode(), gate.work(""), origin=str(each), name="sensor"))
            for each in range(1000)
        ]
        await asyncio.sleep(0)
        gate.open.set()
        found = await asyncio.gather(*results, return_exceptions=True)
        pool.close()
        assert found.count(True) == checks.WAITING_MAX + 1  # and the one that runs
        assert sum(isinstance(each, CheckBusy) for each in found) == 1000 - checks.WAITING_MAX - 1

    run(test())


def test_a_client_that_leaves_frees_its_place_and_costs_nothing() -> None:
    async def test() -> None:
        pool, gate = PasswordChecks(), Gate()

        def ask(key: str) -> asyncio.Task[bool]:
            return asyncio.ensure_future(pool.run(key.encode(), gate.work(key), origin="o", name="n"))  # type: ignore[return-value]

        running = ask("running")
        leaving = [ask(str(each)) for each in range(checks.WAITING_PER_NAME)]
        twins = [ask("running"), ask("running")]
        await asyncio.sleep(0)
        for task in (*leaving, twins[0]):
            task.cancel()
        await asyncio.sleep(0.01)
        late = ask("late")
        await asyncio.sleep(0)
        gate.open.set()
        assert [await running, await twins[1], await late] == [True] * 3
        assert gate.ran == ["running", "late"]
        assert all(task.cancelled() for task in leaving)
        pool.close()

    run(test())


def test_the_loop_keeps_its_beat_while_passwords_are_checked(tmp_path: Path) -> None:
    """Each of 20 checks takes a real 50 ms or more; the loop gets its turn between and during them."""
    file = tmp_path / "users.json"
    write(file, {"pump": entry(b"right", cost=HashCost(14))})

    async def test() -> None:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0)
                beats += 1

        async with using(file) as users:
            beating = asyncio.ensure_future(beat())
            found = await asyncio.gather(*(users.check("pump", b"wrong %d" % each) for each in range(20)))
            beating.cancel()
        assert found == [None] * 20
        assert beats > 20 * 20  # on the loop, the checks would leave it 20 turns or so

    run(test())


def test_a_check_that_fails_fails_for_its_clients_and_not_for_others() -> None:
    async def test() -> None:
        pool = PasswordChecks()

        def broken() -> bool:
            raise MemoryError

        with pytest.raises(MemoryError):
            await pool.run(b"1", broken, origin="o", name="n")
        assert await pool.run(b"2", lambda: True, origin="o", name="n")
        pool.close()

    run(test())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a thread its own priority")
def test_the_thread_has_a_lower_priority_and_the_process_does_not() -> None:
    async def test() -> None:
        pool, before = PasswordChecks(), os.getpriority(os.PRIO_PROCESS, 0)
        found: list[int] = []

        def look() -> bool:
            found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return True

        await pool.run(b"", look, origin="o", name="n")
        assert found == [max(before, checks.NICENESS)]
        assert os.getpriority(os.PRIO_PROCESS, 0) == before
        pool.close()

    run(test())
