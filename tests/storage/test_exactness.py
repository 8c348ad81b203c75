"""Aggregation and loader against an oracle, whatever happens to them at any step: each row once, each average right.

The stages' own code runs on a log in memory and a real PostgreSQL; hypothesis chooses what is published, who takes how
much of it, who dies at which step, what PostgreSQL's answers come to, and which partitions move.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
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

from backend_demo.adapters.backoff import Backoff
from backend_demo.domain.activity import Activity
from backend_demo.domain.average import average
from backend_demo.domain.dead_letter import read_headers
from backend_demo.domain.loading import Key
from backend_demo.domain.reading import Reading, encode
from backend_demo.domain.state_log import PartitionLog, State
from backend_demo.domain.steps import Average
from backend_demo.domain.topics import AGGREGATED_DATA, AGGREGATION_STATE, DEAD_LETTER, PROCESSED_DATA
from backend_demo.faust_batch.batch import Batch, PartitionListener
from backend_demo.settings import Settings
from backend_demo.stages import aggregation, loader
from backend_demo.stages.aggregation import Checkpoint
from backend_demo.stages.runtime.failpoints import FailPoint, FailPoints
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.stages.runtime.progress import Progress
from backend_demo.stages.runtime.sink import KafkaSink
from backend_demo.storage import copying, session
from backend_demo.storage.fence import FenceLost, read_fence
from backend_demo.storage.session import Session
from tests.support.kafka_log import Crash, Log, LogConsumer, LogProducer
from tests.support.postgres import PostgresServer, migrated

#: Small, so that readings soon are too old for a window.
WINDOW, LATENESS = 3, 2
PARTITIONS = (0, 1)
SENSORS = range(3)


class Member(LogConsumer):
    """One process of a stage."""

    topics: tuple[str, ...]
    listener: PartitionListener

    def __init__(self, log: Log, group: str) -> None:
        super().__init__(log, group, self.topics)
        self.producer = LogProducer(log)
        self.process = ServiceProcess()

    async def work(self, batches: AsyncIterator[Batch]) -> None:
        """Handles batches until there are no more."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Makes durable, and acknowledges, what may have waited until now."""

    def close(self) -> None:
        """Releases what a process would not survive."""


class AggregationMember(Member):
    topics = (PROCESSED_DATA,)

    def __init__(self, log: Log, sensors: int) -> None:
        super().__init__(log, "aggregation")
        state, self._activity = State(), Activity(silent_s=60)
        self._step = Average(state, window=WINDOW, lateness=LATENESS)
        self.listener = self._checkpoint = Checkpoint(
            state,
            self.producer,  # type: ignore[arg-type]
            self._load,
            self.process,
            sensors=sensors,
            activity=self._activity,
        )

    async def _load(self, partitions: Sequence[int]) -> dict[int, PartitionLog]:
        loaded = {partition: PartitionLog() for partition in partitions}
        for partition, state in loaded.items():
            for record in self.log.records[TP(AGGREGATION_STATE, partition)]:
                assert record.key is not None
                state.read(record.key, record.value, record.headers)
        return loaded

    async def work(self, batches: AsyncIterator[Batch]) -> None:
        sink = KafkaSink(self.producer, "aggregation", AGGREGATED_DATA, self.process)  # type: ignore[arg-type]
        await aggregation.run(self._step, batches, sink, self._checkpoint, self._activity)

    async def finish(self) -> None:
        await self._checkpoint.flush()


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
    topics = (PROCESSED_DATA, AGGREGATED_DATA)

    def __init__(self, log: Log, dsn: str) -> None:
        super().__init__(log, "loader")
        configured = Settings(postgres_dsn=dsn, aggregation_window=WINDOW)
        self.session = UnreliableSession(dsn)
        self.listener = self._loader = loader.Loader(
            configured,
            self.producer,  # type: ignore[arg-type]
            Progress("loader"),
            self.process,
            self.session,
        )

    async def work(self, batches: AsyncIterator[Batch]) -> None:
        await loader.run(batches, self._loader)

    def close(self) -> None:
        self.session.close()


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
        member.process.failpoints = FailPoints(point)
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

        An aggregation sends nothing else: it ends when it was suspended for long (`stages/runtime/process.py`).
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
        except* FenceLost:
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
        self._run(member.assigned(self._partitions(group, name), member.listener))

    def _partitions(self, group: str, name: str) -> list[int]:
        return [partition for partition, owner in self.owners[group].items() if owner == name]

    def _work(self, group: str, name: str, polls: Sequence[Any], *, finishes: bool, commits: bool) -> None:
        """A process that dies, or finds that another moved the fence, is started again.

        `commits`: Kafka gets what is acknowledged; with a process that dies, just before.
        """
        member = self.members[group, name]

        async def work() -> None:
            await member.work(self._source(member, polls))
            if finishes:
                await member.finish()

        try:
            self._run(work())
        except* (Crash, FailPoint, FenceLost):
            if commits:
                member.commit()
            self._die(group, name)
        else:
            if commits:
                member.commit()
        finally:
            member.producer.steps_left = None
            member.process.failpoints = FailPoints()

    async def _source(self, member: Member, polls: Sequence[Any]) -> AsyncIterator[Batch]:
        for sizes in polls:
            if sizes == REBALANCE:
                await self._rebalance(member.group, self.owners[member.group])
            elif (batch := member.poll(sizes)) is not None:
                yield batch

    async def _rebalance(self, group: str, owners: dict[int, str]) -> None:
        members = {name: self.members[group, name] for name in "ab"}
        for member in members.values():
            await member.revoked(member.listener)
        self.owners[group] = owners
        for name, member in members.items():
            await member.assigned(self._partitions(group, name), member.listener)

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
        fence = self._run(read_fence(self._database, [(PROCESSED_DATA, partition) for partition in PARTITIONS]))
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
        found = [read_headers(letter.headers) for p in PARTITIONS for letter in self.log.records[TP(DEAD_LETTER, p)]]
        assert {letter["reason"] for letter in found} <= {"conflict"}
        assert {(int(letter["origin-partition"]), int(letter["origin-offset"])) for letter in found} == losers
        for partition in PARTITIONS:
            tp = TP(PROCESSED_DATA, partition)
            assert self.log.committed["aggregation"].get(tp, 0) == self.log.ends[tp]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with migrated(tmp_path_factory.mktemp("exactness")) as found:
        yield found


@pytest.mark.timeout(600)
def test_whatever_happens_the_tables_are_exact(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "COPY_ROWS", 4)  # so that small batches are copied too
    monkeypatch.setattr(session, "BACKOFF", Backoff(first_s=0.0, longest_s=0.0))
    with asyncio.Runner() as runner:
        database = runner.run(asyncpg.connect(server.dsn("bdemo")))
        run_state_machine_as_test(
            lambda: Pipeline(runner, database, server.dsn("bdemo")),
            settings=settings(
                max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
        runner.run(database.close())
