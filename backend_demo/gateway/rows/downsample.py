"""Down-samples each sensor to the few rows that draw the same line: LTTB (Steinarsson 2013), by tsdownsample.

The first such answer loads numpy and tsdownsample.
"""

from __future__ import annotations

import itertools
import mmap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backend_demo.domain.reading import Row
from backend_demo.gateway.offload import offload
from backend_demo.gateway.rows.columnar import COLUMNS, CopyReader
from backend_demo.storage import ranges
from backend_demo.storage.pool import Database, DatabaseUnavailable
from backend_demo.storage.selection import Selection

if TYPE_CHECKING:
    import numpy as np

POINTS_MIN, POINTS_MAX = 2, 10_000
#: Maximum number of rows in an answer, all sensors together.
ANSWER_MAX = 200_000
#: Maximum number of rows read for one sensor, which are in memory together (16 bytes each), and for all sensors, which
#: takes some seconds.
SENSOR_ROWS_MAX = 2_000_000
ROWS_MAX = 10_000_000

#: Number of rows for which LTTB takes a millisecond.
_LONG = 100_000


class TooMuch(Exception):
    """The range has more rows than one answer may be made of."""


async def read(database: Database, selection: Selection, points: int) -> tuple[list[Row], int]:
    """At most `points` rows of each sensor, and the number of rows read. Raises TooMuch, DatabaseUnavailable."""
    await offload(_load)
    try:
        return await _read(database, selection, points)
    except DatabaseUnavailable as problem:
        if not problem.lost:
            raise
    return await _read(database, selection, points)


async def _read(database: Database, selection: Selection, points: int) -> tuple[list[Row], int]:
    sampler = Downsampler(points)
    async with database.range_connection() as connection, ranges.snapshot(connection):
        await ranges.copy_binary(replace(selection, descending=False), connection, sampler.feed)
    rows = await sampler.end()
    return rows[::-1] if selection.descending else rows, sampler.read


def _load() -> None:
    """Takes half a second, so it runs in a thread."""
    import tsdownsample  # noqa: F401


class Downsampler:
    """Takes the rows of a binary COPY, in order of sensor and time, and keeps at most `points` of each sensor."""

    def __init__(self, points: int) -> None:
        import numpy

        self._points = points
        self._copied = CopyReader()
        self._sensor: int | None = None
        # this memory goes back to the system; that of numpy.empty() would stay with the process
        room = mmap.mmap(-1, 2 * SENSOR_ROWS_MAX * numpy.dtype(float).itemsize)
        self._series = numpy.frombuffer(room).reshape(2, SENSOR_ROWS_MAX)
        """Times and values of the sensor being read; the pages behind them are not in memory yet."""
        self._filled = 0
        self._kept: list[tuple[int, np.ndarray[Any, Any]]] = []
        self.read = 0
        """Number of rows read."""
        self.points = 0
        """Number of rows kept."""

    async def feed(self, data: bytes) -> None:
        """Takes a piece of the copy. Raises TooMuch."""
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
        """The kept rows. Raises TooMuch."""
        await self._finish()
        return [
            (sensor, timestamp, value)
            for sensor, series in self._kept
            for timestamp, value in zip(*series.tolist(), strict=True)
        ]

    async def _extend(self, rows: np.ndarray[Any, Any]) -> None:
        """Takes rows that all belong to one sensor."""
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
        """Down-samples the sensor read so far."""
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
    """At most `points` columns of the times and values: the first, the last, and LTTB's choice in between."""
    from tsdownsample import LTTBDownsampler

    if series.shape[1] <= points:
        return series.copy()
    if points == POINTS_MIN:  # tsdownsample needs at least three
        return series[:, [0, -1]]
    chosen: np.ndarray[Any, Any] = LTTBDownsampler().downsample(series[0], series[1], n_out=points)  # type: ignore[no-untyped-call]
    return series.take(chosen, axis=1)
