"""What every `Stack` does, on the real servers."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from backend_demo.errors import NoStack, PortInUse, UnknownName, UsageError
from backend_demo.settings import Settings
from backend_demo.stack.base import LogLine, ServiceStatus, Stack, StackChange
from backend_demo.stack.open import open_stack
from backend_demo.stack.services.table import SERVICES
from tests.contract.conftest import Running
from tests.support.engine import LEFT_OUT
from tests.support.leftovers import leftovers, names_in, ports_of
from tests.support.ports import listens
from tests.support.services import asked_for, pid_of, state_of
from tests.support.wait import eventually

Small = Callable[[], Running]


def test_up_returns_when_every_service_is_ready(stack: Stack, settings: Settings) -> None:
    found = stack.status()
    assert [status.name for status in found] == asked_for(settings)
    running = [status for status in found if status.name in names_in(settings)]
    assert {status.state for status in running} == {"ready"}
    for status in running:
        assert status.pid
        assert status.rss_bytes
        assert status.uptime_s is not None
        assert status.error is None


def test_it_listens_where_the_settings_say(stack: Stack, settings: Settings) -> None:
    assert all(listens(port) for port in ports_of(settings))


def test_up_again_says_what_runs_and_changes_nothing(stack: Stack, settings: Settings) -> None:
    reports: list[ServiceStatus] = []
    before = {status.name: status.pid for status in stack.status()}
    change = stack.up((), reports.append, without=LEFT_OUT)
    assert {status.name: status.pid for status in stack.status()} == before
    assert change == StackChange(already_running=tuple(names_in(settings)))
    assert not change.changed
    assert {(status.name, status.state, status.already_running) for status in reports} == {
        (name, "ready", True) for name in names_in(settings)
    }


def is_back(stack: Stack, name: str, pid: int) -> bool:
    """Whether it is ready, in another process than that one; by a single look."""
    found = next(status for status in stack.status() if status.name == name)
    return found.state == "ready" and found.pid not in (pid, None)


@pytest.mark.parametrize("name", ["mqtt", "postgres", "gateway", "collection"])
def test_what_is_killed_comes_back(stack: Stack, name: str) -> None:
    pid = pid_of(stack, name)
    restarts = next(status.restarts for status in stack.status() if status.name == name)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: is_back(stack, name, pid), f"{name} is back")
    assert next(status.restarts for status in stack.status() if status.name == name) == restarts + 1


def test_a_stopped_service_stays_stopped_until_it_is_started(stack: Stack, settings: Settings) -> None:
    stack.stop("collection")
    assert state_of(stack, "collection") == "stopped"
    assert not listens(settings.collection_stats_port)
    stack.stop("collection")  # once more is fine
    stack.start("collection")
    assert state_of(stack, "collection") == "ready"


def test_up_starts_what_does_not_run(stack: Stack, settings: Settings) -> None:
    stack.stop("gateway")
    reports: list[ServiceStatus] = []
    change = stack.up((), reports.append, without=LEFT_OUT)
    assert [status.state for status in reports if status.name == "gateway"][-1] == "ready"
    assert change == StackChange(
        started=("gateway",), already_running=tuple(name for name in names_in(settings) if name != "gateway")
    )


@pytest.mark.parametrize("act", [lambda stack: stack.stop("loder"), lambda stack: stack.start("loder")])
def test_an_unknown_service_is_refused(stack: Stack, act: Callable[[Stack], None]) -> None:
    with pytest.raises(UnknownName, match="loder"):
        act(stack)
    with pytest.raises(UnknownName):
        stack.up(["loder"], lambda status: None)
    with pytest.raises(UnknownName):
        list(stack.logs(["loder"], lines=1, follow=False))


def test_logs_are_merged_by_time(stack: Stack) -> None:
    lines = list(stack.logs((), lines=200, follow=False))
    assert 20 < len(lines) <= 200
    assert [line.time for line in lines] == sorted(line.time for line in lines)
    assert len({line.service for line in lines}) > 3


def test_logs_of_one_service_are_its_own(stack: Stack) -> None:
    assert {line.service for line in stack.logs(["postgres"], lines=5, follow=False)} == {"postgres"}


def test_logs_can_be_followed(stack: Stack) -> None:
    seen: list[LogLine] = []
    coming = stack.logs(["gateway"], lines=0, follow=True)
    reader = threading.Thread(target=lambda: seen.extend(itertools.islice(coming, 1)), daemon=True)
    reader.start()
    stack.stop("gateway")
    stack.start("gateway")
    reader.join(30)
    assert [line.service for line in seen] == ["gateway"]


def test_what_nobody_asked_for_is_off(small: Small) -> None:
    _, stack = small()
    states = {status.name: status.state for status in stack.status()}
    assert {name for name, state in states.items() if state == "ready"} == {"postgres"}
    assert {name for name, state in states.items() if state == "off"} == states.keys() - {"postgres"}


def test_what_is_left_out_does_not_run_until_it_is_asked_for(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "part")
    stack = open_stack(settings, any_port=True)
    others = [name for name in SERVICES if name not in ("kafka", "postgres")]
    try:
        stack.up((), lambda status: None, without=[*others, "kafka", "grafana"])
        assert (state_of(stack, "postgres"), state_of(stack, "kafka")) == ("ready", "off")
        stack.up((), lambda status: None, without=[*others, "grafana"])
        assert (state_of(stack, "postgres"), state_of(stack, "kafka")) == ("ready", "ready")
        stack.up((), lambda status: None, without=[*others, "kafka", "grafana"])
        assert state_of(stack, "kafka") == "ready", "what is left out is not stopped"
    finally:
        stack.down()


def test_what_is_needed_cannot_be_left_out(tmp_path: Path) -> None:
    stack = open_stack(Settings(state_dir=tmp_path / "none"), any_port=True)
    with pytest.raises(UsageError, match="kafka cannot be left out: mqtt"):
        stack.up((), lambda status: None, without=["kafka"])
    with pytest.raises(UnknownName):
        stack.up((), lambda status: None, without=["grafanna"])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def scaled(stack: Stack) -> Iterator[Stack]:
    """The session's stack with three copies of processing; with one of each service afterwards."""
    stack.scale({"processing": 3}, lambda status: None)
    yield stack
    stack.scale({"processing": 1, "loader": 1}, lambda status: None)


COPIES = ("processing", "processing-2", "processing-3")


def copies_of(stack: Stack, service: str) -> dict[str, str]:
    return {status.name: status.state for status in stack.status() if status.name.startswith(service)}


def all_ready(stack: Stack, service: str, names: Iterable[str]) -> bool:
    """Whether these are its copies and become ready: those that stay are not while partitions move."""
    return bool(eventually(lambda: copies_of(stack, service) == dict.fromkeys(names, "ready"), f"{service} is ready"))


def test_copies_come_and_go(scaled: Stack, settings: Settings) -> None:
    assert all_ready(scaled, "processing", COPIES)
    assert len({pid_of(scaled, name) for name in COPIES}) == 3
    assert len(scaled.status()) == len(asked_for(settings)) + 2
    reports: list[ServiceStatus] = []
    first = pid_of(scaled, "processing")
    change = scaled.scale({"processing": 1, "loader": 2}, reports.append)
    assert (change.started, change.stopped) == (("loader-2",), ("processing-2", "processing-3"))
    assert {"kafka", "postgres", "processing", "loader"} == {*change.already_running}
    assert {(report.name, report.state) for report in reports} >= {
        *(("processing-2", "stopped"), ("processing-3", "stopped"), ("loader-2", "ready"))
    }
    assert all_ready(scaled, "processing", COPIES[:1])
    assert all_ready(scaled, "loader", ("loader", "loader-2"))
    assert pid_of(scaled, "processing") == first


def test_up_mends_copies_and_keeps_their_number(scaled: Stack) -> None:
    before = {status.name: status.pid for status in scaled.status()}
    scaled.up((), lambda status: None, without=LEFT_OUT)
    assert {status.name: status.pid for status in scaled.status()} == before
    scaled.stop("processing-3")
    assert copies_of(scaled, "processing")["processing-3"] == "stopped"
    scaled.up((), lambda status: None, without=LEFT_OUT)
    assert all_ready(scaled, "processing", COPIES)
    scaled.up((), lambda status: None, without=LEFT_OUT, scale={"processing": 2})
    assert all_ready(scaled, "processing", COPIES[:2])


def test_a_killed_copy_comes_back(scaled: Stack) -> None:
    pid = pid_of(scaled, "processing-2")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: is_back(scaled, "processing-2", pid), "processing-2 is back")
    assert next(status.restarts for status in scaled.status() if status.name == "processing-2") >= 1


def test_a_service_s_name_means_all_copies_and_a_copy_s_name_one(scaled: Stack) -> None:
    scaled.stop("processing-1")
    assert copies_of(scaled, "processing")["processing"] == "stopped"
    eventually(
        lambda: [*copies_of(scaled, "processing").values()] == ["stopped", "ready", "ready"], "one stopped, two ready"
    )
    scaled.stop("processing")
    assert copies_of(scaled, "processing") == dict.fromkeys(COPIES, "stopped")
    scaled.start("processing")
    assert all_ready(scaled, "processing", COPIES)
    assert {line.service for line in scaled.logs(["processing-2"], lines=5, follow=False)} == {"processing-2"}
    assert {line.service for line in scaled.logs(["processing"], lines=500, follow=False)} == set(COPIES)
    for act in (scaled.stop, scaled.start):
        with pytest.raises(UnknownName, match="processing-5"):
            act("processing-5")


@pytest.mark.parametrize(
    ("service", "count"),
    [("processing", 0), ("processing", -1), ("processing", 9), ("kafka", 3), ("gateway", 2), ("bridge", 2)],
)
def test_copies_that_there_cannot_be_are_refused(stack: Stack, service: str, count: int) -> None:
    before = {status.name: status.pid for status in stack.status()}
    with pytest.raises(UsageError, match=f"{service}={count}"):
        stack.scale({"loader": 2, service: count}, lambda status: None)
    with pytest.raises(UsageError, match=f"{service}={count}"):
        stack.up((), lambda status: None, scale={service: count})
    assert {status.name: status.pid for status in stack.status()} == before


def test_nothing_is_scaled_without_a_stack(tmp_path: Path) -> None:
    stack = open_stack(Settings(state_dir=tmp_path / "none"))
    with pytest.raises(NoStack):
        stack.scale({"processing": 2}, lambda status: None)
    with pytest.raises(UnknownName):
        stack.scale({"procesing": 2}, lambda status: None)
    assert list(tmp_path.iterdir()) == []


def test_two_stacks_stand_side_by_side(stack: Stack, small: Small) -> None:
    settings, second = small()
    assert state_of(second, "postgres") == "ready"
    second.down()
    assert leftovers(settings, second) == []
    assert {status.state for status in stack.status()} - {"off"} == {"ready"}


def test_down_leaves_nothing_but_the_data(small: Small) -> None:
    settings, stack = small()
    assert stack.down() is True
    assert leftovers(settings, stack) == []
    assert any(settings.state_dir.iterdir())
    with pytest.raises(NoStack):
        stack.status()
    assert stack.down() is False


def test_down_without_a_stack_makes_nothing(kind: Literal["embedded", "compose"], tmp_path: Path) -> None:
    stack = open_stack(Settings(state_dir=tmp_path / "none", stack=kind))
    assert stack.down() is False
    assert stack.down(wipe=True) is False
    assert list(tmp_path.iterdir()) == []


def test_wipe_deletes_the_stack_s_files_and_no_others(small: Small) -> None:
    settings, stack = small()
    (settings.state_dir / "notes.txt").write_text("mine")
    assert stack.down(wipe=True) is True
    assert [path.name for path in settings.state_dir.iterdir()] == ["notes.txt"]


def test_a_taken_port_is_told_before_anything_starts(running: Running, tmp_path: Path) -> None:
    ports = {port: getattr(running[0], port) for service in SERVICES.values() for port in service.ports}
    settings = Settings(state_dir=tmp_path / "third", stack=running[0].stack, **ports)
    with pytest.raises(PortInUse, match=f"port {ports['kafka_port']} of kafka is taken by process"):
        open_stack(settings).up((), lambda status: None, without=LEFT_OUT)
    with pytest.raises(NoStack):
        open_stack(settings).status()
