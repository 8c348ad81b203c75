"""Aggregation and loader against an oracle, whatever happens to them at any step: each row once, each average right.

The stages' own code runs on a log in memory and a real PostgreSQL; hypothesis chooses what is published, who takes how
much of it, who dies at which step, what PostgreSQL's answers come to, and which partitions move.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
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
from backend_demo.domain.average import average
from backend_demo.domain.dead_letter import read_headers
from backend_demo.domain.loading import Key
from backend_demo.domain.reading import Reading, encode
from backend_demo.domain.state_log import HORIZON
from backend_demo.domain.topics import AGGREGATED_DATA, AGGREGATION_STATE, DEAD_LETTER, PROCESSED_DATA
from backend_demo.faust_batch.batch import Batch
from backend_demo.stages.runtime.failpoints import FailPoint, FailPoints
from backend_demo.storage import copying, session
from backend_demo.storage.fence import FenceLost, read_fence
from tests.support.kafka_log import Crash, Log
from tests.support.members import WINDOW, AggregationMember, LoaderMember, Member
from tests.support.postgres import PostgresServer, migrated

PARTITIONS = (0, 1)
SENSORS = range(3)


REBALANCE = "rebalance"
names = st.sampled_from("ab")
"""The members of each group."""
groups = st.sampled_from(["aggregation", "loader"])
partitions = st.sampled_from(PARTITIONS)
sizes = st.lists(st.sampled_from([100, 100, 0, 1, 3]), min_size=2, max_size=4)
polls = st.lists(st.one_of(sizes, sizes, sizes, st.just(REBALANCE)), min_size=1, max_size=3)
behinds = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 3, 7, -1, -2, -4, -6, -9])
readings = st.lists(st.tuples(st.sampled_from(SENSORS), behinds), min_size=3, max_size=12)
mostly = st.sampled_from([True, True, True, False])
deaths = st.sampled_from([None, None, None, None, 0, 1, 2, 4, 7, 12])
fail_points = ["", "", "", *(f"loader-{when}-commit@{n}!" for when in ("before", "after") for n in (1, 2))]

#: Topics that are deleted and created again, together; the last, as Kafka's data are lost and the tables are not.
CREATED_AGAIN = (
    (PROCESSED_DATA,),
    (AGGREGATED_DATA,),
    (AGGREGATION_STATE,),
    (PROCESSED_DATA, AGGREGATED_DATA),
    (PROCESSED_DATA, AGGREGATED_DATA, AGGREGATION_STATE),
)

#: How often each event comes, and the parameters of the method of its name.
EVENTS: dict[str, tuple[int, dict[str, st.SearchStrategy[Any]]]] = {
    "publish": (4, {"readings": readings}),
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
    "create_again": (1, {"topics": st.sampled_from(CREATED_AGAIN), "readings": readings, "polls": polls}),
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
        self.offsets: list[int] = []
        """Of what was published."""
        self.of_this_topic = 0
        """From which on what was published is in the topic that has the name now."""
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
        self.offsets.append(self.log.ends[tp])
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

    def create_again(self, topics: Sequence[str], readings: list[tuple[int, int]], polls: list[Any]) -> None:
        """Everything was loaded. The aggregations notice it after a while, as they look every few seconds."""
        self._drain()
        self._check()
        for topic in topics:
            self.log.create_again(topic)
        if PROCESSED_DATA in topics:
            self.of_this_topic = len(self.published)
        if topics == CREATED_AGAIN[-1] and self.published:  # whoever creates the topics looks into the tables
            newest = max(timestamp for _, timestamp, _ in self.published)
            for partition in PARTITIONS:
                self.log.append(TP(AGGREGATION_STATE, partition), HORIZON, b"%r" % newest)
        else:
            self.publish(readings)
            for name in "ab":
                self._work("aggregation", name, polls, finishes=True, commits=True)
        for group, name in self.members:
            self._die(group, name)

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
        for i, ((sensor, timestamp, value), offset) in enumerate(self._numbered()):
            mark = fence.get((PROCESSED_DATA, sensor % len(PARTITIONS)))
            if i < self.of_this_topic or (mark is not None and offset < mark.next_offset):
                loaded.setdefault((sensor, timestamp), value)
        assert self._run(self._table("temperature")) == loaded
        assert self._run(self._table("average")).keys() <= self._first().keys()

    def _numbered(self) -> Iterator[tuple[tuple[int, float, float], int]]:
        """What was published, with the offsets."""
        return zip(self.published, self.offsets, strict=True)

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
            for (sensor, timestamp, value), offset in self._numbered()
            if first[sensor, timestamp] != value
        }
        found = [read_headers(letter.headers) for p in PARTITIONS for letter in self.log.records[TP(DEAD_LETTER, p)]]
        assert {letter["reason"] for letter in found} <= {"conflict"}
        assert {(int(letter["origin-partition"]), int(letter["origin-offset"])) for letter in found} == losers
        for partition in PARTITIONS:
            tp = TP(PROCESSED_DATA, partition)
            committed = self.log.committed["aggregation"].get(tp)
            ours = committed is not None and committed.metadata == self.log.topic_ids[PROCESSED_DATA]
            assert (committed.offset if ours else 0) == self.log.ends[tp]


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
