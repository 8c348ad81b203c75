"""Asks the gateway: newest readings, sensors, and readings or averages of a range of time."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal, TypeAlias

import msgspec

from backend_demo.domain.names import NAMED_MIN
from backend_demo.domain.reading import Reading
from backend_demo.domain.sensor_name import SensorName
from backend_demo.operations.gateway_http import Http

#: Most rows, most sensors and most names in a page of the gateway.
PAGE_MAX, SENSORS_PAGE_MAX, NAMES_PAGE_MAX = 10_000, 1000, 10_000
#: Shortest time between two looks for names that are new, seconds.
NAMES_EVERY_S = 10.0
#: Most rows held in memory, of all sensors together.
PAGES_ROWS = 100_000

AnswerRow: TypeAlias = tuple[Any, ...]
"""A row of an answer, whose columns differ by query: of readings and averages it is a Row."""

READING = ("sensor", "timestamp", "value")
SENSOR = ("sensor", "count", "first", "last", "last_value", "last_average", "name")

_ROUTES = {"range": "readings", "average": "averages"}

MEDIA_TYPES = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
"""The formats in which the gateway streams a whole range."""


@dataclass(frozen=True)
class Range:
    """Which rows of a range of time."""

    query: Literal["range", "average"]
    sensors: tuple[int, ...] = ()
    """None: all."""
    start: float = 0.0
    end: float | None = None
    """Epoch seconds, both included; None: there is no end."""
    descending: bool = True
    """Newest first."""
    bucket: str | None = None
    aggregates: tuple[str, ...] = ("mean", "min", "max", "count")
    zone: str = "UTC"
    """With a bucket: its columns, and the time zone whose midnight it is counted from."""
    max_points: int | None = None
    """Most rows of each sensor, chosen so that the line through them looks the same."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the rows' columns; the second is the time."""
        return ("sensor", "from", *self.aggregates) if self.bucket else READING

    def sort_key(self, row: AnswerRow) -> tuple[float, int]:
        """By time; at the same time, by sensor."""
        return (-row[1] if self.descending else row[1], row[0])

    def answer(self, rows: Sequence[AnswerRow]) -> Answer:
        """An answer that has these rows and is complete."""
        zone = self.zone if self.bucket else None
        return Answer(
            self.query, rows, self.columns, self.sensors, self.start, self.end, descending=self.descending, zone=zone
        )


@dataclass(frozen=True)
class Answer:
    """What a query found."""

    query: Literal["latest", "range", "average", "sensors"]
    rows: Sequence[AnswerRow]
    columns: tuple[str, ...] = READING
    sensors: tuple[int, ...] = ()
    """Those that were asked for; none: all."""
    start: float | None = None
    """First time of the range, epoch seconds; None: there is none."""
    end: float | None = None
    complete: bool = True
    """Whether there are no more rows."""
    descending: bool = True
    """Newest first."""
    zone: str | None = None
    """Time zone of the buckets."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Names of its sensors, for people; a sensor may have none."""


class _Latest(msgspec.Struct):
    readings: list[Reading]
    truncated: bool


class _DeadLetters(msgspec.Struct):
    total: int


class _Page(msgspec.Struct):
    next: str | None
    readings: list[dict[str, Any]] = []
    averages: list[dict[str, Any]] = []
    buckets: list[dict[str, Any]] = []

    def rows(self, columns: Sequence[str]) -> list[AnswerRow]:
        return [tuple(map(row.get, columns)) for rows in (self.readings, self.averages, self.buckets) for row in rows]


class _Sensors(msgspec.Struct):
    sensors: list[dict[str, Any]]
    next: int | None


class _Names(msgspec.Struct):
    names: list[SensorName]
    next: int | None


class Gateway:
    """The REST gateway at `url`. Raises UsageError when it is not a URL; each method as `Http.get`."""

    def __init__(self, url: str, token: str = "") -> None:
        self._http = Http(url, token)
        self._names: dict[int, str] = {}
        self._names_asked_at = -math.inf

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *problem: object) -> None:
        self._http.close()

    def latest(self, sensors: Sequence[int] = ()) -> Answer:
        """The newest reading of each of these sensors, or of all, by sensor."""
        found = self._http.get("/v1/latest", {"sensor": list(sensors)}, _Latest)
        rows = [(row.sensor, row.timestamp, row.value) for row in found.readings]
        return Answer("latest", rows, sensors=tuple(sensors), complete=not found.truncated)

    def sensors(self, numbers: Sequence[int] = (), limit: int | None = None) -> Answer:
        """What is known of each of these sensors, or of all, by sensor; of the first `limit`."""
        if numbers:
            wanted = sorted(set(numbers))
            found = [
                self._http.get(f"/v1/sensors/{number}", {}, dict[str, Any])
                for number in (wanted if limit is None else wanted[:limit])
            ]
            rows, complete = [tuple(map(row.get, SENSOR)) for row in found], len(found) == len(wanted)
        else:
            every = self._all_sensors(SENSORS_PAGE_MAX if limit is None else min(limit + 1, SENSORS_PAGE_MAX))
            rows = list(islice(every, None if limit is None else limit))
            complete = next(every, None) is None
        return Answer("sensors", rows, SENSOR, tuple(numbers), complete=complete)

    def dead_letters_total(self) -> int:
        """How many dead letters Kafka has."""
        return self._http.get("/v1/dead-letters", {"limit": 1}, _DeadLetters).total

    def names_of(self, sensors: Iterable[int]) -> Mapping[int, str]:
        """The names of these sensors, and maybe others; one that has none is left out.

        The gateway is asked when one of them may have a name that is not known yet, and not more often than it may take
        a new name to get there.
        """
        now = time.monotonic()
        unknown = any(sensor >= NAMED_MIN and sensor not in self._names for sensor in sensors)
        if unknown and now - self._names_asked_at > NAMES_EVERY_S:
            self._names_asked_at = now
            parameters = {"limit": NAMES_PAGE_MAX}
            while True:
                found = self._http.get("/v1/sensor-names", parameters, _Names)
                self._names.update((each.sensor, each.name) for each in found.names)
                if found.next is None:
                    break
                parameters["after"] = found.next
        return self._names

    def named(self, answer: Answer) -> Answer:
        """The answer with the names of its sensors."""
        return replace(answer, names=self.names_of({*answer.sensors, *(row[0] for row in answer.rows)}))

    def _all_sensors(self, page: int) -> Iterator[AnswerRow]:
        parameters = {"limit": page}
        while True:
            found = self._http.get("/v1/sensors", parameters, _Sensors)
            yield from (tuple(map(row.get, SENSOR)) for row in found.sensors)
            if found.next is None:
                return
            parameters["after"] = found.next

    def first(self, wanted: Range, limit: int) -> Answer:
        """The first `limit` rows in the order of time, whichever sensor they are of."""
        sensors = sorted(set(wanted.sensors)) or self._candidates(wanted, limit)
        # a page of each sensor is in memory at once
        page = min(limit + 1, PAGE_MAX, max(10, PAGES_ROWS // max(1, len(sensors))))
        each = [self._pages(replace(wanted, sensors=(sensor,)), page) for sensor in sensors]
        merged = heapq.merge(*each, key=wanted.sort_key)
        rows = list(islice(merged, limit))
        complete = next(merged, None) is None
        return replace(wanted.answer(rows), complete=complete)

    def all(self, wanted: Range) -> Answer:
        """All rows in the order of time, in memory."""
        rows = [row for block in self.blocks(wanted) for row in block]
        return wanted.answer(sorted(rows, key=wanted.sort_key))

    def _candidates(self, wanted: Range, limit: int) -> list[int]:
        """The sensors that the first rows may be of."""
        newest = sorted((row for row in self.latest().rows if row[1] >= wanted.start), key=lambda row: -row[1])
        if wanted.descending and wanted.end is None and not wanted.bucket:
            # one more, to see that there is more; each of the others has nothing as new
            newest = newest[: limit + 1]
        return [row[0] for row in newest]

    def blocks(self, wanted: Range) -> Iterator[Sequence[AnswerRow]]:
        """All rows, by sensor and then by time, as they come: never all in memory."""
        if wanted.bucket:
            yield from self._page_by_page(wanted, PAGE_MAX)
            return
        decode = msgspec.json.Decoder(Reading).decode_lines
        rest = b""
        for piece in self.copy(wanted, "ndjson"):
            whole, newline, rest = (rest + piece).rpartition(b"\n")
            if newline:
                yield [(row.sensor, row.timestamp, row.value) for row in decode(whole)]

    def copy(self, wanted: Range, form: str) -> Iterator[bytes]:
        """All rows, by sensor and then by time, as the gateway writes them in this form of MEDIA_TYPES."""
        everything = {} if wanted.max_points else {"limit": "all"}
        parameters = {**_parameters(wanted), **everything, "format": form}
        return self._http.stream(f"/v1/{_ROUTES[wanted.query]}", parameters, MEDIA_TYPES[form])

    def _pages(self, wanted: Range, size: int) -> Iterator[AnswerRow]:
        for page in self._page_by_page(wanted, size):
            yield from page

    def _page_by_page(self, wanted: Range, size: int) -> Iterator[Sequence[AnswerRow]]:
        parameters = {**_parameters(wanted), "limit": size}
        while True:
            found = self._http.get(f"/v1/{_ROUTES[wanted.query]}", parameters, _Page)
            yield found.rows(wanted.columns)
            if found.next is None:
                return
            parameters["cursor"] = found.next


def _parameters(wanted: Range) -> dict[str, Any]:
    """Query parameters of the gateway's route."""
    optional = {"to": wanted.end, "max_points": wanted.max_points}
    buckets = {"bucket": wanted.bucket, "agg": ",".join(wanted.aggregates), "tz": wanted.zone}
    return {
        "sensor": sorted(set(wanted.sensors)),
        "from": wanted.start,
        "order": "desc" if wanted.descending else "asc",
        **{name: value for name, value in optional.items() if value is not None},
        **(buckets if wanted.bucket else {}),
    }
