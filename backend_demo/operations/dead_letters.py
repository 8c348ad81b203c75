"""The newest dead letters: what was refused, why, and where it came from."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from backend_demo.described import described
from backend_demo.domain.dead_letter import read_headers
from backend_demo.domain.names import SENSOR_MAX
from backend_demo.domain.topics import Partition, sensor_of
from backend_demo.operations.kafka_log import KafkaLog
from backend_demo.operations.kafka_record import KafkaRecord, time_of

#: Bytes of a refused payload that are shown.
PAYLOAD_MAX = 2000
#: Most records of a partition that are read in one step.
SPAN_MAX = 500


@described
@dataclass(frozen=True, slots=True)
class Refused:
    """A record or a payload that was refused."""

    id: str
    """Partition and offset of the dead letter itself, in topic `dead-letter`."""
    time: float | None
    """When it was refused, epoch seconds."""
    stage: str
    """The stage that refused it."""
    reason: str
    """The reason, in a word."""
    detail: str
    """The reason, in a sentence."""
    sensor: int | None
    """Null: its origin does not name a sensor."""
    topic: str
    """The origin: a topic of Kafka or of MQTT, or `POST /v1/readings`."""
    partition: int | None
    """Null: the origin is not Kafka."""
    offset: int | None
    """Null: the origin is not Kafka."""
    payload: str | None
    """The first 2000 bytes; null: there was no payload."""
    encoding: str
    """`utf-8`: the payload is text; `base64`: it is not."""
    size: int
    """Size of the whole payload, bytes."""
    truncated: bool
    """The payload is longer than what is shown."""


def refused(record: KafkaRecord) -> Refused:
    """The dead letter in a record of the topic `dead-letter`, also when its headers are not ours."""
    headers = read_headers((name, value or b"") for name, value in record.headers)
    raw = record.value
    shown = (raw or b"")[:PAYLOAD_MAX]
    text = _text(shown, cut=raw is not None and len(raw) > PAYLOAD_MAX)
    size = _number(headers.get("truncated-from", "")) or len(raw or b"")
    return Refused(
        id=f"{record.partition}:{record.offset}",
        time=record.timestamp,
        stage=headers.get("stage", "unknown"),
        reason=headers.get("reason", "unknown"),
        detail=headers.get("detail", ""),
        sensor=_sensor(record.key),
        topic=headers.get("origin-topic", "unknown"),
        partition=_number(headers.get("origin-partition", "")),
        offset=_number(headers.get("origin-offset", "")),
        payload=None if raw is None else base64.b64encode(shown).decode() if text is None else text,
        encoding="utf-8" if text is not None else "base64",
        size=size,
        truncated=size > len(shown),
    )


def _text(raw: bytes, *, cut: bool) -> str | None:
    """The bytes as text; None: they are not UTF-8. `cut`: the last character may be incomplete."""
    try:
        return raw.decode()
    except UnicodeDecodeError as problem:
        if cut and problem.reason == "unexpected end of data":
            return raw[: problem.start].decode()
        return None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else None


def _sensor(key: bytes | None) -> int | None:
    """The sensor that a record's key names, by its number or by its MQTT topic."""
    if key is None:
        return None
    text = key.decode(errors="replace")
    number = _number(text)
    return sensor_of(text) if number is None or number > SENSOR_MAX or text != str(number) else number


async def newest(
    log: KafkaLog, count: int, wanted: Callable[[Refused], bool], *, limit_s: float
) -> tuple[list[Refused], bool]:
    """The newest `count` wanted ones of the log's partitions, newest first, and whether there may be older ones.

    Reads backwards, part by part, until no older one can be among them, or until time is up.
    """
    deadline = time.monotonic() + limit_s
    begins, ends = await log.starts(0), await log.ends()
    kept: list[tuple[float, int, int, Refused]] = []
    complete_from: dict[Partition, float] = {}
    upto, span = dict(ends), min(count, SPAN_MAX)
    while True:
        starts = {partition: max(begins[partition], upto[partition] - span) for partition in ends}
        part: list[tuple[float, int, int, Refused]] = []
        async with contextlib.aclosing(log.read(starts, upto)) as pieces:
            async for found in pieces:
                if upto != ends and time.monotonic() > deadline:  # half a part would leave out its newest
                    return [letter for *_, letter in kept[:count]], True
                for partition, records in found.items():
                    for record in records:
                        written = time_of(record)
                        complete_from[partition] = min(written, complete_from.get(partition, written))
                        letter = refused(record)
                        if wanted(letter):
                            part.append((written, record.offset, record.partition, letter))
        kept = sorted(kept + part, key=lambda entry: entry[:3], reverse=True)
        older = [partition for partition in ends if starts[partition] > begins[partition]]
        unseen_before = max((complete_from.get(partition, float("inf")) for partition in older), default=None)
        enough = len(kept) >= count and (unseen_before is None or kept[count - 1][0] > unseen_before)
        if unseen_before is None or enough or time.monotonic() > deadline:
            more = len(kept) > count or unseen_before is not None
            return [letter for *_, letter in kept[:count]], more
        del kept[count + 1 :]
        upto, span = starts, min(span * 4, SPAN_MAX)
