"""Draws readings over time with the characters of a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from backend_demo.domain.reading import Reading

#: A day's worth of seconds: below it, an axis says the time only.
_DAY_S = 86_400


def draw(rows: Sequence[Reading], *, width: int, height: int, colour: bool) -> str:
    """A line a sensor. `rows` holds at least one, in any order; the axis is in local time."""
    import plotext

    figure = plotext.figure
    figure.clear()
    figure.theme("simple" if colour else "colorless")
    figure.plot_size(width, height)
    sensors = sorted({row.sensor for row in rows})
    for sensor in sensors:
        points = sorted((row.timestamp, row.value) for row in rows if row.sensor == sensor)
        times, values = zip(*thinned(points, 2 * width), strict=True)
        line = figure.signal(list(times), list(values)).lines()
        figure.draw(line.label(f"sensor {sensor}") if len(sensors) > 1 else line)
    marks, labels = ticks(min(row.timestamp for row in rows), max(row.timestamp for row in rows), max(2, width // 20))
    figure.ruler("x").ticks(marks, labels)
    return str(figure.build().string(colorless=not colour))


def thinned(points: Sequence[tuple[float, float]], bins: int) -> list[tuple[float, float]]:
    """At most two points a bin of equal length in time: the lowest and the highest, so that no spike is lost.

    `points`: (time, value), by time. A terminal cannot show more, and plotext takes 3 s for 100,000.
    """
    if len(points) <= 2 * bins:
        return list(points)
    begin = points[0][0]
    width = (points[-1][0] - begin) / bins or 1.0
    extremes: dict[int, tuple[tuple[float, float], tuple[float, float]]] = {}
    for point in points:
        bin_number = min(int((point[0] - begin) / width), bins - 1)
        low, high = extremes.get(bin_number, (point, point))
        extremes[bin_number] = (
            point if point[1] < low[1] else low,
            point if point[1] > high[1] else high,
        )
    return sorted({point for pair in extremes.values() for point in pair})


def ticks(begin: float, end: float, count: int) -> tuple[list[float], list[str]]:
    """Where the time axis has a mark, and what it says there."""
    form = "%H:%M:%S" if end - begin < _DAY_S else "%m-%d %H:%M"
    times = [begin + (end - begin) * i / (count - 1) for i in range(count)] if end > begin else [begin]
    return times, [datetime.fromtimestamp(time).strftime(form) for time in times]
