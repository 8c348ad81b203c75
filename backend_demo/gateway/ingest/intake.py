"""The items of one body become records and dead letters, and the counts of the answer. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from backend_demo.described import described
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.reading import Reason, Rejected
from backend_demo.domain.topics import mqtt_topic
from backend_demo.gateway.ingest.items import ItemReader
from backend_demo.gateway.ingest.split import Item, Splitter

#: The stage and the origin in the dead letters.
STAGE, ORIGIN = "gateway", "POST /v1/readings"
#: Most refused items that an answer lists.
LISTED_MAX = 1000


@described
@dataclass(frozen=True, slots=True)
class RefusedItem:
    """An item that was refused."""

    index: int
    """Its place in the body, from 0; the header of CSV and empty lines do not count."""
    reason: str
    """The reason in a word, as in /v1/dead-letters."""
    detail: str
    """The reason in a sentence."""


@dataclass
class Acknowledged:
    """What Kafka has acknowledged of one body."""

    accepted: int = 0
    refused: int = 0
    listed: list[RefusedItem] = field(default_factory=list)

    def add(self, part: IngestPart) -> None:
        """Counts a part that Kafka has acknowledged."""
        self.accepted += len(part.records)
        self.refused += len(part.refusals)
        self.listed += part.refusals[: LISTED_MAX - len(self.listed)]


@dataclass
class IngestPart:
    """What is sent to Kafka together."""

    records: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Keys and values for `sensor-data`."""
    dead_letters: list[DeadLetter] = field(default_factory=list)
    refusals: list[RefusedItem] = field(default_factory=list)
    size: int = 0
    """Bytes of keys, values and dead letters."""


class _Payload(msgspec.Struct, gc=False):
    value: float
    timestamp: float


class Intake:
    """Takes the pieces of one body and collects the part that is sent next."""

    def __init__(
        self,
        splitter: Splitter,
        read: ItemReader,
        *,
        may_publish: Callable[[str], bool],
        value_min: float,
        value_max: float,
    ) -> None:
        self._splitter = splitter
        self._read = read
        self._may_publish = may_publish
        self._low, self._high = value_min, value_max
        self._keys: dict[str, tuple[bytes, bool]] = {}
        """Of each sensor in this body: its MQTT topic, and whether the user may publish there."""
        self._next = 0
        """Index of the next item."""
        self._part = IngestPart()

    @property
    def part(self) -> IngestPart:
        """What has been collected and not taken."""
        return self._part

    def take(self) -> IngestPart:
        """Hands over what has been collected."""
        part, self._part = self._part, IngestPart()
        return part

    def feed(self, data: bytes) -> None:
        """Takes a piece of the body. Raises HeaderInvalid."""
        self._add(self._splitter.feed(data))

    def end(self) -> None:
        """Takes the end of the body. Raises HeaderInvalid."""
        self._add(self._splitter.end())
        if not self._next:
            self._refuse(None, Rejected("empty", "no readings in the body", b""))

    def _add(self, items: Iterator[Item]) -> None:
        for item in items:
            if isinstance(item, Rejected):
                self._refuse(None, item)
                continue
            found = self._read(item)
            if found is None:
                continue
            sensor, reading = found
            if sensor is None or isinstance(reading, Rejected):
                assert isinstance(reading, Rejected)  # noqa: S101 - narrows a type
                self._refuse(sensor, reading)
                continue
            key, allowed = self._key(sensor)
            if not allowed:
                self._refuse(sensor, Rejected("rights", f"this user may not publish to {key.decode()}", item))
            elif not self._low <= reading.value <= self._high:
                detail = f"{reading.value} is not in {self._low} to {self._high}"
                self._refuse(sensor, Rejected("range", detail, item))
            else:
                value = _encode(_Payload(reading.value, reading.timestamp))
                self._part.records.append((key, value))
                self._part.size += len(key) + len(value)
                self._next += 1

    def _key(self, sensor: str) -> tuple[bytes, bool]:
        known = self._keys.get(sensor)
        if known is None:
            topic = mqtt_topic(sensor)
            known = self._keys[sensor] = (topic.encode(), self._may_publish(topic))
        return known

    def _refuse(self, sensor: str | None, rejected: Rejected) -> None:
        key = None if sensor is None else self._key(sensor)[0]
        reason: Reason = rejected.reason
        self._part.dead_letters.append(
            DeadLetter(STAGE, reason, rejected.detail, rejected.raw, key, ORIGIN, columns=self._read.columns)
        )
        self._part.refusals.append(RefusedItem(self._next, reason, rejected.detail))
        self._part.size += len(rejected.raw)
        self._next += 1


_encode = msgspec.json.Encoder().encode
