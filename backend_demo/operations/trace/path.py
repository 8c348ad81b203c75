"""The way of one reading: which records and rows are its own, where it has come to, and when. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backend_demo.domain.dead_letter import read_headers
from backend_demo.domain.reading import UNREADABLE, decode_aggregate, decode_reading
from backend_demo.domain.topics import AGGREGATED_DATA, DEAD_LETTER, PROCESSED_DATA, SENSOR_DATA, SRC_DATA
from backend_demo.operations.kafka_record import KafkaRecord
from backend_demo.operations.trace.mark import Mark, readings

PUBLISHED, SEEN, ACKNOWLEDGED = "MQTT published", "MQTT seen", "MQTT acknowledged"
TABLES = {"temperature": "table temperature", "average": "table average"}
ROUTES = {"temperature": "REST /temperature", "average": "REST /average"}

TraceOutcome = Literal["under way", "served", "stored", "repeated", "refused", "timed out"]
"""`stored`: the same as `served`, without a gateway; `repeated`: it was there before, so its average did not change."""


@dataclass(frozen=True)
class Step:
    """A place on the way, the service that brings a reading there, and the step before."""

    name: str
    service: str
    """Empty: the publisher."""
    after: str | None = None


def steps(*, published: bool, rest: bool) -> tuple[Step, ...]:
    """The way of a reading, side branches before the main one.

    `published`: by us; else it is seen in passing, and its acknowledgement is not.
    """
    first = PUBLISHED if published else SEEN
    way = [
        Step(first, ""),
        Step(ACKNOWLEDGED, "mqtt", first),
        Step(SENSOR_DATA, "mqtt", first),
        Step(SRC_DATA, "collection", SENSOR_DATA),
        Step(PROCESSED_DATA, "processing", SRC_DATA),
        Step(TABLES["temperature"], "loader", PROCESSED_DATA),
        Step(ROUTES["temperature"], "gateway", TABLES["temperature"]),
        Step(AGGREGATED_DATA, "aggregation", PROCESSED_DATA),
        Step(TABLES["average"], "loader", AGGREGATED_DATA),
        Step(ROUTES["average"], "gateway", TABLES["average"]),
    ]
    left_out = {*(() if published else (ACKNOWLEDGED,)), *(() if rest else ROUTES.values())}
    return tuple(step for step in way if step.name not in left_out)


@dataclass(frozen=True)
class Location:
    """Where in a topic or table something was found; a row and an answer have a value only."""

    value: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    key: str | None = None


@dataclass(frozen=True)
class TracedHop:
    """A place that the reading has reached."""

    name: str
    service: str
    after: str | None
    when: float
    """Epoch seconds, as the clock there tells it: Kafka's records have whole milliseconds."""
    since_previous_ms: float
    """Since it was at `after`; never negative, though clocks differ."""
    since_start_ms: float
    place: Location


@dataclass(frozen=True)
class Refusal:
    """Why the reading's way ends in `dead-letter`."""

    stage: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Trace:
    """How far the reading has come."""

    sensor: int
    timestamp: float | None
    """The sensor's time; None: the message holds no reading."""
    value: float | None
    mqtt_topic: str
    outcome: TraceOutcome
    way: tuple[Step, ...]
    """All places to which it comes; where it was refused, those that lead to `dead-letter`."""
    hops: tuple[TracedHop, ...]
    """Those that it has reached, in the same order."""
    refusal: Refusal | None
    troubles: dict[str, str]
    """What is known to be wrong at a place, by the step's name."""

    @property
    def total_ms(self) -> float:
        """From the first hop to the last."""
        return max(hop.since_start_ms for hop in self.hops)

    @property
    def missing(self) -> tuple[Step, ...]:
        """Where it is still to come."""
        reached = {hop.name for hop in self.hops}
        return tuple(step for step in self.way if step.name not in reached)

    @property
    def stands_before(self) -> tuple[Step, ...]:
        """The places to which it comes next."""
        reached = {hop.name for hop in self.hops}
        return tuple(step for step in self.missing if step.after in reached)


class Path:
    """Collects what is found of a reading, in whatever order."""

    def __init__(self, mark: Mark, *, published: bool, rest: bool) -> None:
        self._mark = mark
        self._published = published
        self._steps = steps(published=published, rest=rest)
        self._key = b"%d" % mark.sensor
        self._topic = mark.topic.encode()
        self._found: dict[str, tuple[float, Location]] = {}
        self._refusal: Refusal | None = None
        self._refused_after: str | None = None
        self._troubles: dict[str, str] = {}
        self._timed_out = False
        self.reach(self._steps[0].name, mark.when, Location(_text(mark.payload), mark.topic))

    def reach(self, name: str, when: float, place: Location) -> bool:
        """The reading was there; False: that was known. Of several times, the first that is told counts."""
        if name in self._found:
            return False
        self._found[name] = when, place
        self._troubles.pop(name, None)
        return True

    def see(self, record: KafkaRecord, now: float) -> bool:
        """A record of any topic came; whether it tells of this reading anything new. `now`: epoch seconds."""
        if record.topic in self._found or not self._is_ours(record):
            return False
        if record.topic == DEAD_LETTER:
            headers = read_headers((name, value or b"") for name, value in record.headers)
            self._refusal = Refusal(*(headers.get(name, "?") for name in ("stage", "reason", "detail")))
            origin = headers.get("origin-topic")
            self._refused_after = origin if any(step.name == origin for step in self._steps) else self._steps[0].name
        place = Location(_text(record.value), record.topic, record.partition, record.offset, _text(record.key))
        return self.reach(record.topic, now if record.timestamp is None else record.timestamp, place)

    def owns(self, table: str, value: float) -> bool:
        """Whether a row with the reading's sensor and time is its own: another value may have been there before."""
        reading = self._mark.reading
        return table == "average" or (reading is not None and value == reading.value)

    def trouble(self, name: str, what: str | None) -> None:
        """Notes what hides whether the reading is there; None: nothing does any more."""
        self._troubles.pop(name, None)
        if what is not None and name not in self._found:
            self._troubles[name] = what

    def time_out(self) -> None:
        """Notes that the wait is over."""
        self._timed_out = True

    def has(self, name: str) -> bool:
        """Whether the reading was seen there."""
        return name in self._found

    @property
    def over(self) -> bool:
        """Whether it is everywhere, or as far as it will ever be."""
        return all(step.name in self._found for step in self._way())

    @property
    def repeated(self) -> bool:
        """Only its record of `aggregated-data` is missing: there is none of a reading that was there before."""
        missing = [step.name for step in self._way() if step.name not in self._found]
        return not self._published and missing == [AGGREGATED_DATA]

    def trace(self) -> Trace:
        """How far it has come by now."""
        reading = self._mark.reading
        return Trace(
            self._mark.sensor,
            reading.timestamp if reading else None,
            reading.value if reading else None,
            self._mark.topic,
            self._outcome(),
            self._way(),
            self._hops(),
            self._refusal,
            dict(self._troubles),
        )

    # -- what belongs to the reading

    def _is_ours(self, record: KafkaRecord) -> bool:
        topic, key, raw = record.topic, record.key, record.value
        if topic == SENSOR_DATA:
            return key == self._topic and raw == self._mark.payload
        if topic == DEAD_LETTER and key == self._topic:
            return raw is not None and self._is_part(raw)
        reading = self._mark.reading
        if key != self._key or raw is None or reading is None:
            return False
        try:
            if topic == AGGREGATED_DATA:
                return decode_aggregate(raw).timestamp == reading.timestamp
            return decode_reading(raw) == reading
        except UNREADABLE:
            return False

    def _is_part(self, raw: bytes) -> bool:
        """Whether bytes that were refused are those of the message, or of its reading that is followed."""
        if self._mark.reading is None:
            return raw == self._mark.payload or (raw != b"" and raw in self._mark.payload)
        return raw == self._mark.payload or readings(self._mark.sensor, raw) == [self._mark.reading]

    # -- where it has come to

    def _way(self) -> tuple[Step, ...]:
        if self._refusal is None:
            return self._steps
        before = self._before(self._refused_after)
        way = [step for step in self._steps if step.name in before or step.name == ACKNOWLEDGED]
        return (*way, Step(DEAD_LETTER, self._refusal.stage, self._refused_after))

    def _before(self, name: str | None) -> set[str]:
        """A step with all that lead to it."""
        after = {step.name: step.after for step in self._steps}
        names = set()
        while name is not None:
            names.add(name)
            name = after[name]
        return names

    def _hops(self) -> tuple[TracedHop, ...]:
        start = self._mark.when
        if not self._published and SENSOR_DATA in self._found:  # the proxy may have seen it before us
            start = min(start, self._found[SENSOR_DATA][0])
        after = {step.name: step.after for step in self._steps}
        known: dict[str, float] = {}
        """Times that never run backwards from a step to the next."""
        hops = []
        for step in self._way():
            if step.name not in self._found:
                continue
            when, place = self._found[step.name]
            before = step.after
            while before is not None and before not in known:  # what was found later is not there yet
                before = after[before]
            previous = start if before is None else known[before]
            moment = known[step.name] = max(when, previous) if step.after else start
            since = (_ms(moment - previous), _ms(moment - start))
            hops.append(TracedHop(step.name, step.service, step.after, when, *since, place))
        return tuple(hops)

    def _outcome(self) -> TraceOutcome:
        if not self.over:
            return ("repeated" if self.repeated else "timed out") if self._timed_out else "under way"
        if self._refusal is not None:
            return "refused"
        return "served" if any(step.name in ROUTES.values() for step in self._steps) else "stored"


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="backslashreplace")


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
