"""What the data of a Kafka say that does not run; for backups."""

from __future__ import annotations

import re
from pathlib import Path

from backend_demo.stack.services.kafka_jars import VERSION

#: Kafka writes it when it has ended in order, and removes it when it starts.
_CLEAN = ".kafka_cleanshutdown"
#: Up to where each partition is on the disk, which is its end after an orderly end.
_ENDS = "recovery-point-offset-checkpoint"


def end_offsets(data: Path) -> dict[str, list[int]] | None:
    """Where each partition of each topic ends, by its number; None when Kafka was killed, and has not written it down.

    Topics of Kafka's own are left out.
    """
    if not (data / _CLEAN).exists():
        return None
    ends: dict[str, dict[int, int]] = {}
    for line in (data / _ENDS).read_text().splitlines()[2:]:  # its version and the number of lines come first
        topic, partition, offset = line.split(" ")
        if not topic.startswith("__"):
            ends.setdefault(topic, {})[int(partition)] = int(offset)
    return {topic: [found.get(number, 0) for number in range(max(found) + 1)] for topic, found in sorted(ends.items())}


def goes_on_with(version: str) -> bool:
    """Whether our Kafka reads the data of that version of it: a newer one may have written what ours does not know."""
    return _numbers(version) <= _numbers(VERSION)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits[:9]) for digits in re.findall(r"[0-9]+", version))
