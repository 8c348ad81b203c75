"""Sends what dead letters hold through the pipeline again, and marks them.

1. Mark the dead letters `unfinished`, with the readings that are sent for them.
2. Read the marks: of two replays that began at the same time, the first in the log counts.
3. Send the readings to `sensor-data`; returns when Kafka has acknowledged them.
4. Mark the dead letters `replayed`.

Killed before step 1 is durable: nothing was sent. Killed later: the next replay sends the readings of the mark, and no
others. They may be in the pipeline already, and being the same readings they are stored once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers
from backend_demo.adapters.kafka_refusal import unreachable
from backend_demo.described import described
from backend_demo.domain import replay
from backend_demo.domain.letter_mark import LetterMark, LetterState, ReplayedReading
from backend_demo.domain.mapping import Mappings
from backend_demo.domain.reading import Rejected
from backend_demo.domain.replay import Edit, Limits, decide
from backend_demo.domain.topics import DEAD_LETTER_MARKS, SENSOR_DATA
from backend_demo.errors import ServiceFailed
from backend_demo.operations.dead_letters.letter_log import Letter, LetterLog
from backend_demo.operations.dead_letters.refused import dead_letter_of, is_cut, time_ms
from backend_demo.settings import Settings

#: Dead letters that are replayed together.
AT_ONCE = 500
#: How long Kafka may take to acknowledge them, seconds.
ACKNOWLEDGE_S = 30.0

ReplayOutcome = Literal["replayed", "finished", "refused", "skipped"]


@described
@dataclass(frozen=True, slots=True)
class LetterReplay:
    """What became of one dead letter in a replay."""

    id: str
    """Partition and offset of the dead letter."""
    outcome: ReplayOutcome
    """`replayed`; `finished`: an earlier replay had begun it; `refused`: nothing was sent, since the pipeline would
    refuse it; `skipped`: it was replayed before, or another replay has begun it."""
    reason: str | None
    """Of `refused`: the reason, in a word."""
    detail: str | None
    """Of `refused` and `skipped`: the reason, in a sentence."""
    readings: Sequence[ReplayedReading]
    """What was sent: `sensor` (a name, or a number in digits), `timestamp` and `value`."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One dead letter, and what is to become of it."""

    letter: Letter
    result: LetterReplay

    @property
    def begins(self) -> bool:
        """Whether its replay begins now."""
        return self.result.outcome == "replayed"

    @property
    def sends(self) -> bool:
        """Whether its readings are sent."""
        return self.result.outcome in ("replayed", "finished")


def limits_of(settings: Settings) -> Limits:
    """What the pipeline with these settings takes now."""
    return Limits(
        settings.value_min,
        settings.value_max,
        settings.future_tolerance_s,
        settings.earliest(time.time()),
        Mappings([mapping.compiled() for mapping in settings.mapping]),
    )


def plan(letters: Iterable[Letter], edit: Edit, limits: Limits, now: float) -> list[Planned]:
    """Decides what a replay sends. `now`: epoch seconds."""
    return [Planned(letter, _plan(letter, edit, limits, now)) for letter in letters]


def _plan(letter: Letter, edit: Edit, limits: Limits, now: float) -> LetterReplay:
    standing, record = letter.standing, letter.record
    name = f"{record.partition}:{record.offset}"
    if standing.state == "replayed":
        return LetterReplay(name, "skipped", None, "it was replayed before", standing.readings)
    found = _decided(letter, edit, limits, now)
    if standing.state == "unfinished":
        if edit.changes and list(standing.readings) != found:
            detail = "a replay with other values has begun; a replay without an edit finishes it"
            return LetterReplay(name, "skipped", None, detail, standing.readings)
        if any(limits.topic(reading.sensor) is None for reading in standing.readings):
            return LetterReplay(name, "skipped", None, "a mapping takes the topic of its sensor now", standing.readings)
        return LetterReplay(name, "finished", None, None, standing.readings)
    if isinstance(found, Rejected):
        return LetterReplay(name, "refused", found.reason, found.detail, ())
    return LetterReplay(name, "replayed", None, None, found)


def _decided(letter: Letter, edit: Edit, limits: Limits, now: float) -> list[ReplayedReading] | Rejected:
    record = letter.record
    if is_cut(record) and None in (edit.sensor, edit.timestamp, edit.value):
        return Rejected("size", "only the beginning of the payload was kept; give sensor, value and timestamp", b"")
    return decide(dead_letter_of(record), edit, limits, refused_at=record.timestamp or 0.0, now=now)


class Replayer:
    """Replays dead letters, and dismisses them."""

    def __init__(self, letters: LetterLog, producer: AIOKafkaProducer, limits: Limits) -> None:
        """`producer` may write marks and `sensor-data`."""
        self._letters = letters
        self._producer = producer
        self._limits = limits

    async def replay(self, planned: Sequence[Planned]) -> list[LetterReplay]:
        """Does what is planned; returns what came of it. Raises ServiceFailed."""
        begun = await self.begin(planned)
        await self.send(begun)
        await self.finish(begun)
        return [each.result for each in begun]

    async def begin(self, planned: Sequence[Planned]) -> list[Planned]:
        """Steps 1 and 2; leaves out what another replay was first to begin."""
        await self._mark([each for each in planned if each.begins], "unfinished")
        await self._letters.read_marks()
        return [self._as_begun(each) for each in planned]

    def _as_begun(self, planned: Planned) -> Planned:
        standing = self._letters.letter(planned.letter.record).standing
        if not planned.begins or list(standing.readings) == list(planned.result.readings):
            return planned
        detail = "another replay has begun it at the same time"
        return replace(planned, result=replace(planned.result, outcome="skipped", detail=detail))

    async def send(self, planned: Iterable[Planned]) -> None:
        """Step 3."""
        readings = [reading for each in planned if each.sends for reading in each.result.readings]
        records = [replay.message(reading, self._limits) for reading in readings]
        await self._produce([(SENSOR_DATA, key, value, None) for key, value in records])

    async def finish(self, planned: Iterable[Planned]) -> None:
        """Step 4."""
        await self._mark([each for each in planned if each.sends], "replayed")

    async def dismiss(self, letters: Sequence[Letter]) -> int:
        """Marks those that are open; returns how many. Raises ServiceFailed."""
        found = [letter for letter in letters if letter.standing.state == "open"]
        await self._produce([_mark(letter, "dismissed", ()) for letter in found])
        return len(found)

    async def _mark(self, planned: Iterable[Planned], state: LetterState) -> None:
        await self._produce([_mark(each.letter, state, each.result.readings) for each in planned])

    async def _produce(self, records: Iterable[tuple[str, bytes, bytes, int | None]]) -> None:
        """Returns when Kafka has acknowledged all. Records: topic, key, value, partition. Raises ServiceFailed."""
        try:
            async with asyncio.timeout(ACKNOWLEDGE_S):
                sent = [
                    await self._producer.send(topic, value, key, partition) for topic, key, value, partition in records
                ]
                await asyncio.gather(*sent)
        except (KafkaError, OSError) as problem:
            raise ServiceFailed(
                f"Kafka has not acknowledged the replay: {str(problem) or type(problem).__name__}",
                hint="repeat the command: it finishes what has begun",
            ) from problem


@contextlib.asynccontextmanager
async def replayer(settings: Settings, letters: LetterLog) -> AsyncIterator[Replayer]:
    """A replayer with a producer of its own. Raises ServiceFailed."""
    if not letters.takes_marks:
        raise ServiceFailed(f"Kafka has no topic {DEAD_LETTER_MARKS}", hint="run: bdemo migrate")
    brokers = Brokers.of(settings)
    producer = kafka.producer(brokers, "bdemo-dlq")
    try:
        try:
            await producer.start()
        except (KafkaError, OSError) as problem:
            raise await unreachable(brokers) from problem
        yield Replayer(letters, producer, limits_of(settings))
    finally:
        await producer.stop()


def _mark(
    letter: Letter, state: LetterState, readings: Sequence[ReplayedReading]
) -> tuple[str, bytes, bytes, int | None]:
    partition, offset = letter.id
    mark = LetterMark(offset, time_ms(letter.record), state, readings)
    return DEAD_LETTER_MARKS, mark.key(partition), mark.value(), partition
