"""Aggregation and loader against an oracle, whatever happens to them at any step: each row once, each average right.

The stages' own code runs on a log in memory and a real PostgreSQL; hypothesis chooses what is published, who takes how
much of it, who dies at which step, what PostgreSQL's answers come to, and which partitions move.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from faust.types import TP
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from backend_demo.domain.activity import Activity
from backend_demo.domain.average import average
from backend_demo.domain.dead_letter import read_headers
from backend_demo.domain.load import Key
from backend_demo.domain.reading import Reading, encode
from backend_demo.domain.steps import Average
from backend_demo.domain.topics import AGGREGATED_DATA, AGGREGATION_STATE, DEAD_LETTER, PROCESSED_DATA
from backend_demo.faust_batch.batch import Batch
from backend_demo.faust_batch.offsets import OffsetTracker
from backend_demo.settings import Settings
from backend_demo.stages import aggregation, failpoints, loader
from backend_demo.stages.aggregation import PartitionState, State
from backend_demo.stages.progress import Progress
from backend_demo.stages.sink import KafkaSink
from backend_demo.storage import session, write
from backend_demo.storage.session import Session
from tests.integration.postgres import PostgresServer, migrated

#: Small, so that readings soon are too old for a window.
WINDOW, LATENESS = 3, 2
PARTITIONS = (0, 1)
SENSORS = range(3)


class Crash(Exception):
    """The process ends here, as by kill -9."""


@dataclass(frozen=True)
class Record:
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp: int = 0


class Log:
    """Kafka, as far as a stage can tell."""

    def __init__(self) -> None:
        self.records: dict[TP, list[Record]] = defaultdict(list)
        self.ends: dict[TP, int] = defaultdict(int)
        self.committed: dict[str, dict[TP, int]] = defaultdict(dict)

    def append(self, tp: TP, key: bytes | None, value: bytes | None, headers: Any = ()) -> None:
        self.records[tp].append(Record(self.ends[tp], key, value, headers))
        self.ends[tp] += 1

    def compact(self, tp: TP) -> None:
        """Leaves the last record of each key."""
        last = {record.key: record for record in self.records[tp]}
        self.records[tp] = [record for record in self.records[tp] if last[record.key] is record]


class Producer:
    """Stands for BatchProducer. Each record, and then the answer, is a step at which the process may die."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.steps_left: int | None = None
        self.twice = False
        """The answers are lost, so that all is sent again."""

    async def send(self, messages: Mapping[tuple[str, int], Sequence[Any]], headers: Any = ()) -> None:
        await asyncio.sleep(0)
        for _ in range(1 + self.twice):
            for target, found in messages.items():
                for message in found:
                    self._step()
                    self._log.append(TP(*target), *message)
        self._step()

    def _step(self) -> None:
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise Crash


class Member:
    """One process of a stage, and its consumer as the transport drives it."""

    group: str
    topics: tuple[str, ...]
    listener: Any

    def __init__(self, log: Log) -> None:
        self.log = log
        self.producer = Producer(log)
        self.offsets: OffsetTracker[TP] = OffsetTracker()
        self._positions: dict[TP, int] = {}

    async def assigned(self, partitions: Sequence[int]) -> None:
        self.offsets.reset()
        tps = [TP(topic, partition) for topic in self.topics for partition in partitions]
        committed = self.log.committed[self.group]
        self._positions = {tp: committed.get(tp, 0) for tp in tps}
        self._positions.update(await self.listener.assigned({tp: (0, self.log.ends[tp]) for tp in tps}))

    async def revoked(self) -> None:
        await self.listener.revoked(frozenset(self._positions))
        self.commit()

    def poll(self, sizes: Sequence[int]) -> Batch | None:
        """So many records of each partition of each topic."""
        records = {}
        for (tp, position), size in zip(self._positions.items(), itertools.cycle(sizes), strict=False):
            found = self.log.records[tp][position : position + size]
            if found:
                records[tp] = found
        self._positions.update({tp: found[-1].offset + 1 for tp, found in records.items()})
        ends = {tp: self._positions[tp] for tp in records}
        return Batch(records, self.offsets.deliver(ends), self) if records else None  # type: ignore[arg-type]

    def commit(self) -> None:
        offsets = self.offsets.committable()
        self.log.committed[self.group].update(offsets)
        self.offsets.confirm(offsets)

    def behind(self) -> bool:
        return any(position < self.log.ends[tp] for tp, position in self._positions.items())

    def is_behind_its_group(self) -> bool:
        """Others have acknowledged all that it has read."""
        committed = self.log.committed[self.group]
        return all(position <= committed.get(tp, 0) for tp, position in self._positions.items())

    async def work(self, batches: AsyncIterator[Batch]) -> None:
        """Until there are no more."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Makes durable, and acknowledges, what may have waited until now."""

    def close(self) -> None:
        """Lets go of what a process would not survive."""


class LoggedState(State):
    """The state is loaded from the log in memory."""

    def __init__(self, log: Log, producer: Producer, sensors: int) -> None:
        step = Average(window=WINDOW, lateness=LATENESS)
        super().__init__(step, producer, "", sensors=sensors, activity=Activity(silent_s=60))  # type: ignore[arg-type]
        self._log = log

    async def _load(self, partitions: list[int]) -> dict[int, PartitionState]:
        loaded = {partition: PartitionState() for partition in partitions}
        for partition, state in loaded.items():
            for record in self._log.records[TP(AGGREGATION_STATE, partition)]:
                assert record.key is not None
                state.read(record.key, record.value, record.headers)
        return loaded


class AggregationMember(Member):
    group, topics = "aggregation", (PROCESSED_DATA,)

    def __init__(self, log: Log, sensors: int) -> None:
        super().__init__(log)
        self.listener = LoggedState(log, self.producer, sensors)

    async def work(self, batches: AsyncIterator[Batch]) -> None:
        sink = KafkaSink(self.producer, "aggregation", AGGREGATED_DATA)  # type: ignore[arg-type]
        await aggregation.run(batches, sink, self.listener)

    async def finish(self) -> None:
        await self.listener.flush()


class LostInCommit:
    """A connection that is gone when a transaction is to be committed: PostgreSQL rolls it back."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def transaction(self) -> Any:
        return self._connection.transaction() if self._connection.is_in_transaction() else self._lost()

    @asynccontextmanager
    async def _lost(self) -> AsyncIterator[None]:
        async with self._connection.transaction():
            yield
            raise ConnectionResetError


class UnreliableSession(Session):
    """Loses the connection in a COMMIT that fails, or the answer to one that succeeds."""

    loses: str | None = None

    async def run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def unreliable(connection: Any) -> Any:
            loses, self.loses = self.loses, None
            found = await work(LostInCommit(connection) if loses == "transaction" else connection)
            if loses == "answer":
                raise ConnectionResetError
            return found

        return await super().run(unreliable)


class LoaderMember(Member):
    group, topics = "loader", (PROCESSED_DATA, AGGREGATED_DATA)

    def __init__(self, log: Log, dsn: str) -> None:
        super().__init__(log)
        configured = Settings(postgres_dsn=dsn, aggregation_window=WINDOW)
        self.listener = loader.Loader(configured, self.producer, Progress("loader"))  # type: ignore[arg-type]
        self.session = self.listener._session = UnreliableSession(dsn)

    async def work(self, batches: AsyncIterator[Batch]) -> None:
        await loader.run(batches, self.listener)

    def close(self) -> None:
        self.listener.close()


REBALANCE = "rebalance"
names = st.sampled_from("ab")
"""The members of each group."""
groups = st.sampled_from(["aggregation", "loader"])
partitions = st.sampled_from(PARTITIONS)
sizes = st.lists(st.sampled_from([100, 100, 0, 1, 3]), min_size=2, max_size=4)
polls = st.lists(st.one_of(sizes, sizes, sizes, st.just(REBALANCE)), min_size=1, max_size=3)
behinds = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 3, 7, -1, -2, -4, -6, -9])
mostly = st.sampled_from([True, True, True, False])
deaths = st.sampled_from([None, None, None, None, 0, 1, 2, 4, 7, 12])
fail_points = ["", "", "", *(f"loader-{when}-commit@{n}!" for when in ("before", "after") for n in (1, 2))]

#: How often each event comes, and the parameters of the method of its name.
EVENTS: dict[str, tuple[int, dict[str, st.SearchStrategy[Any]]]] = {
    "publish": (4, {"readings": st.lists(st.tuples(st.sampled_from(SENSORS), behinds), min_size=3, max_size=12)}),
    "publish_again": (1, {"back": st.integers(1, 30), "conflict": st.booleans()}),
    "aggregate": (
        6,
        {
            "name": names,
            "polls": polls,
            "death": deaths,
            "twice": st.booleans(),
            "flushes": mostly,
            "commits": mostly,
        },
    ),
    "load": (
        6,
        {
            "name": names,
            "polls": polls,
            "death": deaths,
            "point": st.sampled_from(fail_points),
            "loses": st.sampled_from([None, None, None, None, "transaction", "answer"]),
            "commits": st.booleans(),
        },
    ),
    "disturb": (
        2,
        {
            "event": st.sampled_from(["die", "move", "lose sight of", "lose sight of"]),
            "group": groups,
            "name": names,
            "partition": partitions,
        },
    ),
    "revive": (3, {"which": st.integers(0, 9), "polls": st.lists(sizes, min_size=1, max_size=1)}),
    "compact": (1, {"partition": partitions}),
}
events = st.sampled_from([event for event, (often, _) in EVENTS.items() for _ in range(often)]).flatmap(
    lambda event: st.tuples(st.just(event), st.fixed_dictionaries(EVENTS[event][1]))
)


class Pipeline(RuleBasedStateMachine):
    """Two aggregations and two loaders, and some that were thought dead."""

    def __init__(self, runner: asyncio.Runner, database: Any, dsn: str) -> None:
        super().__init__()
        self._run = runner.run
        self._database, self._dsn = database, dsn
        self.log = Log()
        self.published: list[tuple[int, float, float]] = []
        self.newest = dict.fromkeys(SENSORS, 100.0)
        self.owners = {group: dict(zip(PARTITIONS, "ab", strict=True)) for group in ("aggregation", "loader")}
        self.members: dict[tuple[str, str], Member] = {}
        self.zombies: list[Member] = []
        self.may_compact = True

    @initialize(sensors=st.sampled_from([1, 1000]))
    def start(self, sensors: int) -> None:
        """`sensors`: with few, windows are evicted all the time."""
        self._sensors = sensors
        self._run(self._database.execute("truncate temperature, average, fence"))
        for group, name in itertools.product(self.owners, "ab"):
            self._start(group, name)

    @rule(event=events)
    def happens(self, event: tuple[str, dict[str, Any]]) -> None:
        """One rule for all: of several, hypothesis leaves out some in each example, and nothing would be published."""
        name, details = event
        getattr(self, name)(**details)

    # -- what is published

    def _publish(self, sensor: int, timestamp: float, value: float) -> None:
        self.published.append((sensor, timestamp, value))
        tp = TP(PROCESSED_DATA, sensor % len(PARTITIONS))
        self.log.append(tp, b"%d" % sensor, encode(Reading(sensor, timestamp, value)))

    def publish(self, readings: list[tuple[int, int]]) -> None:
        """`behind`: by how many readings of its sensor a reading is late; a negative one comes between two."""
        for sensor, behind in readings:
            if not behind:
                self.newest[sensor] += 1
            timestamp = self.newest[sensor] - abs(behind) + (0.5 if behind < 0 else 0)
            self._publish(sensor, timestamp, float(len(self.published) * 7 % 23))

    def publish_again(self, back: int, conflict: bool) -> None:
        if not self.published:
            return
        sensor, timestamp, value = self.published[-min(back, len(self.published))]
        self._publish(sensor, timestamp, value + conflict)

    # -- what happens to the stages

    def aggregate(
        self, name: str, polls: list[Any], death: int | None, twice: bool, flushes: bool, commits: bool
    ) -> None:
        member = self.members["aggregation", name]
        member.producer.steps_left, member.producer.twice = death, twice
        self._work("aggregation", name, polls, finishes=flushes, commits=commits)

    def load(
        self, name: str, polls: list[Any], death: int | None, point: str, loses: str | None, commits: bool
    ) -> None:
        member = self.members["loader", name]
        assert isinstance(member, LoaderMember)
        member.producer.steps_left, member.session.loses = death, loses
        failpoints.arm(point)
        self._work("loader", name, polls, finishes=False, commits=commits)

    def disturb(self, event: str, group: str, name: str, partition: int) -> None:
        """Somebody of whom its group has lost sight goes on, and another one has its place."""
        if event == "move":
            self._run(self._rebalance(group, {**self.owners[group], partition: name}))
        elif event == "die":
            self._die(group, name)
        else:
            self.zombies.append(self.members[group, name])
            self._start(group, name)

    def revive(self, which: int, polls: list[Any]) -> None:
        """A loader goes on working, and fails at the fence; the last words of an aggregation arrive late.

        An aggregation says no more: it ends when it has been suspended for long (`stages/process.py`).
        """
        if not self.zombies:
            return
        zombie = self.zombies[which % len(self.zombies)]
        try:
            if isinstance(zombie, LoaderMember):
                self._run(zombie.work(self._source(zombie, polls)))
            elif zombie.is_behind_its_group():
                self._run(zombie.finish())
                self.may_compact = False
        except* write.FenceLost:
            zombie.close()
            self.zombies.remove(zombie)

    def compact(self, partition: int) -> None:
        """Not behind late words: it would keep these, and not the newest state."""
        if self.may_compact:
            self.log.compact(TP(AGGREGATION_STATE, partition))

    # -- how it is done

    def _die(self, group: str, name: str) -> None:
        self.members[group, name].close()
        self._start(group, name)

    def _start(self, group: str, name: str) -> None:
        member = (
            AggregationMember(self.log, self._sensors) if group == "aggregation" else LoaderMember(self.log, self._dsn)
        )
        self.members[group, name] = member
        self._run(member.assigned(self._partitions(group, name)))

    def _partitions(self, group: str, name: str) -> list[int]:
        return [partition for partition, owner in self.owners[group].items() if owner == name]

    def _work(self, group: str, name: str, polls: Sequence[Any], *, finishes: bool, commits: bool) -> None:
        """A process that dies, or finds that another moved the fence, is started anew.

        `commits`: Kafka gets what is acknowledged; with a process that dies, just before.
        """
        member = self.members[group, name]

        async def work() -> None:
            await member.work(self._source(member, polls))
            if finishes:
                await member.finish()

        try:
            self._run(work())
        except* (Crash, failpoints.FailPoint, write.FenceLost):
            if commits:
                member.commit()
            self._die(group, name)
        else:
            if commits:
                member.commit()
        finally:
            member.producer.steps_left = None
            failpoints.arm("")

    async def _source(self, member: Member, polls: Sequence[Any]) -> AsyncIterator[Batch]:
        for sizes in polls:
            if sizes == REBALANCE:
                await self._rebalance(member.group, self.owners[member.group])
            elif (batch := member.poll(sizes)) is not None:
                yield batch

    async def _rebalance(self, group: str, owners: dict[int, str]) -> None:
        for name in "ab":
            await self.members[group, name].revoked()
        self.owners[group] = owners
        for name in "ab":
            await self.members[group, name].assigned(self._partitions(group, name))

    # -- what must be

    async def _table(self, name: str) -> dict[Key, float]:
        rows = await self._database.fetch(f"select sensor_num, timestamp, value from {name}")
        return {(row[0], row[1]): row[2] for row in rows}

    def _first(self) -> dict[Key, float]:
        first: dict[Key, float] = {}
        for sensor, timestamp, value in self.published:
            first.setdefault((sensor, timestamp), value)
        return first

    @invariant()
    def rows_and_fence_move_together(self) -> None:
        """In the tables is what lies before the fence, and nothing else."""
        fence = self._run(write.read_fence(self._database, [(PROCESSED_DATA, partition) for partition in PARTITIONS]))
        loaded: dict[Key, float] = {}
        for sensor, timestamp, value, offset in self._numbered():
            if offset < fence.get((PROCESSED_DATA, sensor % len(PARTITIONS)), 0):
                loaded.setdefault((sensor, timestamp), value)
        assert self._run(self._table("temperature")) == loaded
        assert self._run(self._table("average")).keys() <= self._first().keys()

    def _numbered(self) -> Iterator[tuple[int, float, float, int]]:
        """What was published, with the offsets."""
        ends = {partition: itertools.count() for partition in PARTITIONS}
        for sensor, timestamp, value in self.published:
            yield sensor, timestamp, value, next(ends[sensor % len(PARTITIONS)])

    def teardown(self) -> None:
        try:
            if self.members:
                self._drain()
                self._check()
        finally:
            for member in (*self.members.values(), *self.zombies):
                member.close()

    def _drain(self) -> None:
        for group, name in sorted(self.members):  # the aggregations first
            for _ in range(4):  # a zombie has moved the fence, or what was read is read once more
                self._work(group, name, [[1000]], finishes=True, commits=True)
            assert not self.members[group, name].behind()

    def _check(self) -> None:
        first = self._first()
        assert self._run(self._table("temperature")) == first
        expected = {}
        for sensor in SENSORS:
            times = sorted(timestamp for number, timestamp in first if number == sensor)
            for i, timestamp in enumerate(times):
                last = times[max(0, i + 1 - WINDOW) : i + 1]
                expected[sensor, timestamp] = average([first[sensor, time] for time in last])
        assert self._run(self._table("average")) == expected
        losers = {
            (sensor % len(PARTITIONS), offset)
            for sensor, timestamp, value, offset in self._numbered()
            if first[sensor, timestamp] != value
        }
        told = [read_headers(letter.headers) for p in PARTITIONS for letter in self.log.records[TP(DEAD_LETTER, p)]]
        assert {letter["reason"] for letter in told} <= {"conflict"}
        assert {(int(letter["origin-partition"]), int(letter["origin-offset"])) for letter in told} == losers
        for partition in PARTITIONS:
            tp = TP(PROCESSED_DATA, partition)
            assert self.log.committed["aggregation"].get(tp, 0) == self.log.ends[tp]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with migrated(tmp_path_factory.mktemp("exactness")) as found:
        yield found


@pytest.mark.timeout(600)
def test_whatever_happens_the_tables_are_exact(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "COPY_ROWS", 4)  # so that small batches are copied too
    monkeypatch.setattr(session, "random", SimpleNamespace(uniform=lambda low, high: 0.0))  # tries again at once
    with asyncio.Runner() as runner:
        database = runner.run(asyncpg.connect(server.dsn("bdemo")))
        run_state_machine_as_test(
            lambda: Pipeline(runner, database, server.dsn("bdemo")),
            settings=settings(
                max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
        runner.run(database.close())
