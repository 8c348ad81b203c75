"""Of each sensor the few rows that draw the same line: LTTB (Steinarsson 2013), by tsdownsample.

numpy and tsdownsample are loaded with the first such answer.
"""

from __future__ import annotations

import itertools
import mmap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backend_demo.gateway.columnar import COLUMNS, Rows
from backend_demo.gateway.offload import offload
from backend_demo.storage import ranges
from backend_demo.storage.pages import Row
from backend_demo.storage.pool import Database, DatabaseUnavailable
from backend_demo.storage.selection import Selection

if TYPE_CHECKING:
    import numpy as np

POINTS_MIN, POINTS_MAX = 2, 10_000
#: Rows of an answer, of all its sensors together.
ANSWER_MAX = 200_000
#: Rows of one sensor, which are in memory together (16 bytes each), and of all: some seconds of reading.
SENSOR_ROWS_MAX = 2_000_000
ROWS_MAX = 10_000_000

#: From so many rows on, LTTB takes a millisecond.
_LONG = 100_000


class TooMuch(Exception):
    """There are more rows than one answer is made of."""


async def read(database: Database, selection: Selection, points: int) -> tuple[list[Row], int]:
    """At most `points` rows of each sensor, and how many were read. Raises TooMuch, DatabaseUnavailable."""
    await offload(_load)
    try:
        return await _read(database, selection, points)
    except DatabaseUnavailable as problem:
        if not problem.lost:
            raise
    return await _read(database, selection, points)


async def _read(database: Database, selection: Selection, points: int) -> tuple[list[Row], int]:
    sampler = Sampler(points)
    async with database.range_connection() as connection, ranges.snapshot(connection):
        await ranges.copy_binary(replace(selection, descending=False), connection, sampler.feed)
    rows = await sampler.end()
    return rows[::-1] if selection.descending else rows, sampler.read


def _load() -> None:
    """Half a second, of another thread."""
    import tsdownsample  # noqa: F401


class Sampler:
    """Takes the rows of a binary COPY, by sensor and time, and keeps at most `points` of each sensor."""

    def __init__(self, points: int) -> None:
        import numpy

        self._points = points
        self._copied = Rows()
        self._sensor: int | None = None
        # memory that is given back to the system: that of numpy.empty() would stay with the process
        room = mmap.mmap(-1, 2 * SENSOR_ROWS_MAX * numpy.dtype(float).itemsize)
        self._series = numpy.frombuffer(room).reshape(2, SENSOR_ROWS_MAX)
        """Times and values of the sensor that is being read; of the room behind them nothing is in memory yet."""
        self._filled = 0
        self._kept: list[tuple[int, np.ndarray[Any, Any]]] = []
        self.read = 0
        """Rows."""
        self.points = 0
        """Rows that were kept."""

    async def feed(self, data: bytes) -> None:
        """Raises TooMuch."""
        import numpy

        rows = self._copied.feed(data)
        self.read += len(rows)
        if self.read > ROWS_MAX:
            raise TooMuch(f"the range has more than {ROWS_MAX:,} rows")
        bounds = [0, *(numpy.flatnonzero(numpy.diff(rows["sensor"])) + 1).tolist(), len(rows)]
        for begin, end in itertools.pairwise(bounds):
            if begin < end:
                await self._extend(rows[begin:end])

    async def end(self) -> list[Row]:
        """The rows that were kept. Raises TooMuch."""
        await self._finish()
        return [
            (sensor, timestamp, value)
            for sensor, series in self._kept
            for timestamp, value in zip(*series.tolist(), strict=True)
        ]

    async def _extend(self, rows: np.ndarray[Any, Any]) -> None:
        """Takes rows of one sensor."""
        sensor = int(rows["sensor"][0])
        if sensor != self._sensor:
            await self._finish()
            self._sensor = sensor
        filled = self._filled + len(rows)
        if filled > SENSOR_ROWS_MAX:
            raise TooMuch(f"sensor {sensor} has more than {SENSOR_ROWS_MAX:,} rows in the range")
        for column, place in zip(COLUMNS[1:], self._series, strict=True):
            place[self._filled : filled] = rows[column]
        self._filled = filled

    async def _finish(self) -> None:
        """Keeps what the sensor's line needs."""
        if self._sensor is None:
            return
        series = self._series[:, : self._filled]
        if self._filled > _LONG:
            kept = await offload(sampled, series, self._points)
        else:
            kept = sampled(series, self._points)
        self._filled = 0
        self._kept.append((self._sensor, kept))
        self.points += kept.shape[1]
        if self.points > ANSWER_MAX:
            raise TooMuch(f"{len(self._kept):,} sensors make more than {ANSWER_MAX:,} points")


def sampled(series: np.ndarray[Any, Any], points: int) -> np.ndarray[Any, Any]:
    """Of two rows, times and values, at most `points` columns: the first, the last, and between them LTTB's choice."""
    from tsdownsample import LTTBDownsampler

    if series.shape[1] <= points:
        return series.copy()
    if points == POINTS_MIN:  # tsdownsample takes three and more
        return series[:, [0, -1]]
    chosen: np.ndarray[Any, Any] = LTTBDownsampler().downsample(series[0], series[1], n_out=points)  # type: ignore[no-untyped-call]
    return series.take(chosen, axis=1)
