"""Publishes a plan's readings over MQTT, each when it falls due; catches up after a delay and never drifts."""

from __future__ import annotations

import contextlib
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.adapters.mqtt import Broker
from backend_demo.adapters.mqtt_failures import unusable
from backend_demo.domain.reading import Reading
from backend_demo.domain.verdict import EntryState
from backend_demo.errors import UsageError
from backend_demo.simulator.connection import Publisher
from backend_demo.simulator.fleet import ITEM_MAX, Fleet, SensorMessage
from backend_demo.simulator.ledger import Ledger
from backend_demo.simulator.plan import Plan, SimulationProgress, Summary

if TYPE_CHECKING:
    from backend_demo.settings import Settings

#: Messages published before the network is served again.
BURST = 100
TEND_S = 0.5
PROGRESS_S = 0.25
#: `stop` is checked at least this often, seconds.
STOP_S = 0.1
#: The broker must accept all connections within this time, seconds.
CONNECT_S = 5.0
#: A simulation ends after this long without a broker, seconds.
BROKER_AWAY_S = 300.0


def simulate(
    settings: Settings,
    plan: Plan,
    *,
    ledger: Path | None = None,
    on_progress: Callable[[SimulationProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> Summary:
    """Runs a simulation to its end, or until `stop` is set; blocks meanwhile.

    A sensor's time is the moment at which its reading fell due, so one that a slow broker has held up is older than its
    arrival tells. Raises ServiceFailed (no broker, wrong password), UsageError (the batch exceeds a payload; ledger).
    """
    longest = 1 if plan.batch == 1 else settings.max_payload_bytes // (ITEM_MAX + 1)
    if plan.batch > longest:
        raise UsageError(
            f"{plan.batch} readings are too many for one message of {settings.max_payload_bytes} bytes",
            hint=f"choose a batch of at most {longest}",
        )
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        book = None if ledger is None else stack.enter_context(Ledger(ledger))
        connections = _connect(settings, plan, selector, stack)
        run = _Run(plan, connections, selector, book, on_progress or _ignore, stop or threading.Event())
        return run.to_end()


def _ignore(progress: SimulationProgress) -> None:
    pass


def _connect(
    settings: Settings, plan: Plan, selector: selectors.BaseSelector, stack: contextlib.ExitStack
) -> list[Publisher]:
    broker = Broker.of(settings)
    connections = [Publisher(broker, selector, qos=plan.qos) for _ in range(min(plan.connections, plan.sensors))]
    for connection in connections:
        stack.callback(connection.close)
        connection.open()
    deadline = time.monotonic() + CONNECT_S
    while not all(connection.connected for connection in connections):
        for key, events in selector.select(STOP_S):
            key.data.serve(events)
        for connection in connections:
            connection.watch()
            if connection.refusal is not None:
                raise connection.refusal
            if connection.lost or time.monotonic() > deadline:
                raise unusable(broker)
    return connections


class _Run:
    """One simulation under way."""

    def __init__(
        self,
        plan: Plan,
        connections: list[Publisher],
        selector: selectors.BaseSelector,
        ledger: Ledger | None,
        on_progress: Callable[[SimulationProgress], None],
        stop: threading.Event,
    ) -> None:
        self._plan, self._total = plan, plan.total
        self._fleet = Fleet(plan)
        self._connections, self._selector, self._ledger = connections, selector, ledger
        self._on_progress, self._stop = on_progress, stop
        self._pending: deque[SensorMessage] = deque()
        """Measured, and not yet published for lack of room."""
        self._measured = self._sent = self._acknowledged = self._failed = self._messages = 0
        self._flushing = False
        self._began = self._connected_at = time.monotonic()
        self._next_tend = self._next_progress = 0.0
        self._recent: deque[tuple[float, int]] = deque([(0.0, 0)], maxlen=round(4 / PROGRESS_S))

    def to_end(self) -> Summary:
        """Measures and publishes until the plan's end, then waits for what is out."""
        deadline = None if self._plan.duration_s is None else self._plan.duration_s + self._plan.flush_s
        while not self._finished() and not self._given_up(deadline):
            self._turn()
        interrupted = self._stop.is_set()
        unsent = 0 if interrupted else self._missed()
        self._pending.extend(self._fleet.rest())
        self._flush()
        self._fail(message for connection in self._connections for message in connection.held.values())
        self._report(force=True)
        seconds = self._elapsed()
        faults = self._fleet.counts
        return Summary(
            sent=self._sent,
            acknowledged=self._acknowledged,
            failed=self._failed,
            unsent=unsent + sum(len(message.readings) for message in self._pending),
            dropped=faults["drop"],
            duplicated=faults["duplicate"],
            late=faults["late"],
            corrupted=faults["corrupt"],
            messages=self._messages,
            seconds=seconds,
            rate=self._sent / seconds if seconds else 0.0,
            interrupted=interrupted,
        )

    def _finished(self) -> bool:
        return self._measured == self._total and not self._pending

    def _given_up(self, deadline: float | None) -> bool:
        late = deadline is not None and self._elapsed() > deadline
        return late or self._stop.is_set() or time.monotonic() - self._connected_at > BROKER_AWAY_S

    def _missed(self) -> int:
        """Readings that fell due and were not measured, as the broker took no more."""
        due = self._plan.due_before(self._elapsed())
        return (due if self._total is None else min(due, self._total)) - self._measured

    def _flush(self) -> None:
        self._flushing = True
        deadline = time.monotonic() + self._plan.flush_s
        while self._pending or any(connection.busy for connection in self._connections):
            if time.monotonic() > deadline:
                return
            self._turn()

    def _turn(self) -> None:
        """Publishes what is due and finds room, then serves the network until more is due."""
        burst = self._burst()
        if burst:
            # the ledger first: then it has whatever was published, whenever the process is killed
            self._note("sent", [reading for _, message in burst for reading in message.readings])
            for connection, message in burst:
                self._messages += 1
                self._sent += len(message.readings)
                if not connection.publish(message):
                    self._fail([message])
        self._serve(0.0 if burst else self._until_due_s(), {connection for connection, _ in burst})

    def _burst(self) -> list[tuple[Publisher, SensorMessage]]:
        burst: list[tuple[Publisher, SensorMessage]] = []
        elapsed = self._elapsed()
        epoch = time.time() - elapsed  # computed each time: the sensors' clock follows the machine's
        while len(burst) < BURST:
            if not self._pending:
                if self._flushing or self._measured == self._total:
                    break
                due = self._plan.due_s(self._measured)
                if due > elapsed:
                    break
                self._pending.extend(self._fleet.measure(self._measured, round((epoch + due) * 1_000_000)))
                self._measured += 1
                continue
            connection = self._connections[self._pending[0].sensor % len(self._connections)]
            if connection.room <= 0:  # all connections lead to one broker: they wait together
                break
            burst.append((connection, self._pending.popleft()))
        return burst

    def _until_due_s(self) -> float:
        if self._pending or self._flushing or self._measured == self._total:
            return STOP_S
        return min(STOP_S, max(0.0, self._plan.due_s(self._measured) - self._elapsed()))

    def _serve(self, timeout_s: float, published: set[Publisher]) -> None:
        active = published
        for key, events in self._selector.select(timeout_s):
            key.data.serve(events)
            active.add(key.data)
        now = time.monotonic()
        if now >= self._next_tend:
            self._next_tend = now + TEND_S
            active.update(self._connections)
            for connection in self._connections:
                connection.tend()
                if connection.connected:
                    self._connected_at = now
        acknowledged: list[Reading] = []
        for connection in active:
            connection.watch()
            acknowledged += [reading for message in connection.acknowledged for reading in message.readings]
            connection.acknowledged.clear()
        self._acknowledged += len(acknowledged)
        self._note("acked", acknowledged)
        self._report()

    def _fail(self, messages: Iterable[SensorMessage]) -> None:
        readings = [reading for message in messages for reading in message.readings]
        self._failed += len(readings)
        self._note("failed", readings)

    def _note(self, state: EntryState, readings: list[Reading]) -> None:
        if self._ledger is not None and readings:
            self._ledger.write(state, readings)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _report(self, *, force: bool = False) -> None:
        elapsed = self._elapsed()
        if elapsed < self._next_progress and not force:
            return
        self._next_progress = elapsed + PROGRESS_S
        self._recent.append((elapsed, self._sent))
        since, before = self._recent[0]
        self._on_progress(
            SimulationProgress(
                seconds=elapsed,
                measured=self._measured,
                total=self._total,
                sent=self._sent,
                acknowledged=self._acknowledged,
                rate=(self._sent - before) / (elapsed - since) if elapsed > since else 0.0,
                connected=any(connection.connected for connection in self._connections),
                flushing=self._flushing,
            )
        )
