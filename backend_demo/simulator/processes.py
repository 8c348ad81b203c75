"""One simulation in several processes, for loads that one cannot make: each has a part of the sensors."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from backend_demo.errors import BdemoError, ServiceFailed
from backend_demo.simulator.plan import Plan, SimulationProgress, Summary
from backend_demo.simulator.sensors import simulate

if TYPE_CHECKING:
    from backend_demo.settings import Settings

#: How often `stop` is looked at, seconds.
LOOK_S = 0.1
#: A process whose simulation is over has this time to end, seconds.
END_S = 5.0


@dataclass(frozen=True)
class _Problem:
    """What has ended a part, as it travels between processes."""

    kind: type[BdemoError]
    message: str
    hint: str


class _Part(NamedTuple):
    process: multiprocessing.process.BaseProcess
    pipe: Connection


def part_of(plan: Plan, number: int, parts: int) -> Plan:
    """The part of that number, from 0: every so many sensors, with their readings, and a share of the connections."""
    count = plan.count
    if count is not None:
        rounds, rest = divmod(count, plan.sensors)
        sensors = len(range(number, plan.sensors, parts))
        count = rounds * sensors + len(range(number, rest, parts))
    return replace(
        plan,
        sensors=len(range(number, plan.sensors, parts)),
        first_sensor=plan.first_sensor + number * plan.sensor_step,
        sensor_step=plan.sensor_step * parts,
        count=count,
        connections=max(1, plan.connections // parts),
    )


def parts_of(plan: Plan, processes: int) -> list[Plan]:
    """The plan in as many parts, fewer if there are fewer sensors; without those that have nothing to send."""
    number = min(processes, plan.sensors if plan.count is None else min(plan.sensors, plan.count))
    return [part_of(plan, each, number) for each in range(number)]


def joined_summary(found: Sequence[Summary]) -> Summary:
    """The summary of all parts."""
    sums = {each.name: sum(getattr(part, each.name) for part in found) for each in fields(Summary)}
    seconds = max(part.seconds for part in found)
    sums |= {"seconds": seconds, "rate": sums["sent"] / seconds if seconds else 0.0}
    return Summary(**{**sums, "interrupted": any(part.interrupted for part in found)})


def joined_progress(found: Sequence[SimulationProgress]) -> SimulationProgress:
    """All parts at one moment."""
    totals = [part.total for part in found]
    return SimulationProgress(
        seconds=max(part.seconds for part in found),
        measured=sum(part.measured for part in found),
        total=None if None in totals else sum(total or 0 for total in totals),
        sent=sum(part.sent for part in found),
        acknowledged=sum(part.acknowledged for part in found),
        rate=sum(part.rate for part in found),
        connected=all(part.connected for part in found),
        flushing=all(part.flushing for part in found),
    )


def simulate_in_processes(
    settings: Settings,
    plan: Plan,
    processes: int,
    *,
    ledger: Path | None = None,
    on_progress: Callable[[SimulationProgress], None],
    stop: threading.Event,
) -> Summary:
    """As `simulate`, in so many processes. Raises also ServiceFailed when one of them is killed."""
    # not forked: the parent has threads
    context = multiprocessing.get_context("spawn")
    parts: list[_Part] = []
    try:
        for each in parts_of(plan, processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_run, args=(settings, each, ledger, theirs), daemon=True)
            process.start()
            theirs.close()
            parts.append(_Part(process, ours))
        return _follow(parts, on_progress, stop)
    finally:
        for part in parts:
            part.pipe.close()
            part.process.join(END_S)
            part.process.terminate()


def _follow(
    parts: Sequence[_Part], on_progress: Callable[[SimulationProgress], None], stop: threading.Event
) -> Summary:
    progress: dict[Connection, SimulationProgress] = {}
    summaries: dict[Connection, Summary] = {}
    told = False
    while len(summaries) < len(parts):
        if stop.is_set() and not told:
            told = True
            for part in parts:
                _tell_to_stop(part.pipe)
        left = [part.pipe for part in parts if part.pipe not in summaries]
        for pipe in wait(left, LOOK_S):
            assert isinstance(pipe, Connection)  # noqa: S101 - narrows a type
            try:
                found = pipe.recv()
            except EOFError:
                raise ServiceFailed(
                    "a process of the simulation was killed",
                    hint="its readings may or may not have arrived; run it again",
                ) from None
            if isinstance(found, _Problem):
                raise found.kind(found.message, hint=found.hint)
            if isinstance(found, Summary):
                summaries[pipe] = found
            else:
                progress[pipe] = found
                if len(progress) == len(parts):
                    on_progress(joined_progress(list(progress.values())))
    return joined_summary(list(summaries.values()))


def _tell_to_stop(pipe: Connection) -> None:
    try:
        pipe.send(None)
    except OSError:  # it has ended, which `_follow` finds out
        return


def _run(settings: Settings, plan: Plan, ledger: Path | None, pipe: Connection) -> None:
    """One part, in its process."""
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # those of the terminal's go to the parent, which tells us
        signal.signal(number, signal.SIG_IGN)
    stop = threading.Event()

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):  # the parent is gone
            pipe.recv()
        stop.set()

    threading.Thread(target=listen, daemon=True).start()
    with contextlib.suppress(OSError):  # the parent is gone
        try:
            pipe.send(simulate(settings, plan, ledger=ledger, on_progress=pipe.send, stop=stop))
        except BdemoError as problem:
            pipe.send(_Problem(type(problem), problem.message, problem.hint))
