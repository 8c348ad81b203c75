"""Which rows go into a table by COPY, and which by `insert .. on conflict`. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from backend_demo.domain.loading import Key

#: From this many rows on, COPY is cheaper than `insert .. on conflict`: about a third of PostgreSQL's CPU a row.
COPY_ROWS = 200

#: After a failed COPY, the number of batches whose new rows are separated from those that may exist.
SPLIT_BATCHES = 64


class Copying:
    """Splits the rows of one table. COPY fails as a whole when one of its rows exists.

    At first every row is copied. After a failure, and for SPLIT_BATCHES batches, only rows newer than all rows seen of
    their sensor are copied: late readings and averages that change are never among them.
    """

    def __init__(self) -> None:
        self._left = 0
        self._newest: dict[int, float] = {}

    def split(self, rows: Mapping[Key, float]) -> tuple[Mapping[Key, float], Mapping[Key, float]]:
        """The rows to copy, and the others. Call it once per batch."""
        if not self._left:
            return (rows, {}) if len(rows) >= COPY_ROWS else ({}, rows)
        self._left -= 1
        newest, unknown = self._newest, math.inf
        copied = {key: value for key, value in rows.items() if key[1] > newest.get(key[0], unknown)}
        if len(copied) < COPY_ROWS:
            copied = {}
        for sensor, timestamp in rows:
            if timestamp > newest.get(sensor, 0.0):
                newest[sensor] = timestamp
        return copied, rows if not copied else {key: value for key, value in rows.items() if key not in copied}

    def failed(self) -> None:
        """A copied row existed."""
        self._left = SPLIT_BATCHES
        self._newest.clear()


@dataclass(frozen=True)
class Tables:
    """What a writer knows about each table."""

    temperature: Copying = field(default_factory=Copying)
    average: Copying = field(default_factory=Copying)
