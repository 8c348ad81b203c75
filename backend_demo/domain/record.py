"""A Kafka record as the steps see it: the reading in it, or the dead letter made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend_demo.domain.dead_letter import RAW_MAX, DeadLetter
from backend_demo.domain.reading import UNREADABLE, Reading, Rejected, decode_reading
from backend_demo.kafka_record import Record

Partitions = Mapping[int, Sequence[Record]]
"""Records of one topic, by partition, each in the order of its offsets."""


class _Keys(dict[int, bytes]):
    """The record key of each sensor; making it again for every record takes a tenth of a step's time."""

    def __missing__(self, sensor: int) -> bytes:
        if len(self) > 1_000_000:  # a flood of made-up sensors must not fill the memory
            self.clear()
        key = self[sensor] = b"%d" % sensor
        return key


record_keys = _Keys()


def read(record: Record) -> Reading | Rejected:
    """Decodes the reading in a record of `src-data` or a later topic."""
    raw = record.value
    if raw is None:
        return Rejected("empty", "no value", b"")
    if len(raw) > RAW_MAX:
        return Rejected("size", f"{len(raw)} bytes, more than the {RAW_MAX} allowed", raw)
    try:
        reading = decode_reading(raw)
    except UNREADABLE as problem:
        return Rejected("json", str(problem)[:200], raw)
    if record.key != record_keys[reading.sensor]:
        return Rejected("key", f"key {(record.key or b'')[:50]!r} is not sensor {reading.sensor}", raw)
    return reading


def dead_letter(stage: str, rejected: Rejected, record: Record, topic: str, partition: int) -> DeadLetter:
    """Makes the dead letter of a record."""
    raw = None if record.value is None else rejected.raw
    return DeadLetter(stage, rejected.reason, rejected.detail, raw, record.key, topic, partition, record.offset)
