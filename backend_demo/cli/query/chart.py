"""Draws values over time with the characters of a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo
from typing import Any, TypeAlias

#: A shorter axis shows times without dates, seconds.
_DAY_S = 86_400

Point: TypeAlias = tuple[float, float]
Span: TypeAlias = tuple[float, float, float]
"""A time, and the lowest and the highest value there."""


def draw(
    rows: Sequence[Sequence[Any]],
    columns: Sequence[str],
    *,
    width: int,
    height: int,
    colour: bool,
    zone: tzinfo | None = None,
    title: Callable[[int], str] = str,
) -> str:
    """Draws one line per sensor; for the buckets of a single sensor also dots from their `min` to their `max`.

    `rows`, at least one, in any order, hold sensor, time and then values; the first value is drawn.
    The axis is in the time of `zone`, or local. `title`: a sensor as people read it.
    """
    import plotext

    figure = plotext.figure
    figure.clear()
    figure.theme("simple" if colour else "colorless")
    figure.plot_size(width, height)
    sensors = sorted({row[0] for row in rows})
    if len(sensors) == 1 and {"min", "max"} <= set(columns):
        low, high = columns.index("min"), columns.index("max")
        times, lowest, highest = zip(*envelope(((row[1], row[low], row[high]) for row in rows), 2 * width), strict=True)
        band = figure.signal(list(times), list(lowest), marker="·")
        figure.draw(band.fill(figure.signal(list(times), list(highest), marker="·")))
    for sensor in sensors:
        points = sorted((row[1], row[2]) for row in rows if row[0] == sensor)
        times, values = zip(*thinned(points, 2 * width), strict=True)
        line = figure.signal(list(times), list(values)).lines()
        figure.draw(line.label(f"sensor {title(sensor)}") if len(sensors) > 1 else line)
    marks, labels = ticks(min(row[1] for row in rows), max(row[1] for row in rows), max(2, width // 20), zone)
    figure.ruler("x").ticks(marks, labels)
    return str(figure.build().string(colorless=not colour))


def thinned(points: Sequence[Point], bins: int) -> list[Point]:
    """At most two points per bin of equal duration, the lowest and the highest, so that no spike is lost.

    `points`: (time, value), by time. A terminal cannot show more, and plotext takes 3 s to draw 100,000.
    """
    if len(points) <= 2 * bins:
        return list(points)
    begin = points[0][0]
    width = (points[-1][0] - begin) / bins or 1.0
    extremes: dict[int, tuple[Point, Point]] = {}
    for point in points:
        bin_number = min(int((point[0] - begin) / width), bins - 1)
        low, high = extremes.get(bin_number, (point, point))
        extremes[bin_number] = (
            point if point[1] < low[1] else low,
            point if point[1] > high[1] else high,
        )
    return sorted({point for pair in extremes.values() for point in pair})


def envelope(spans: Iterable[Span], bins: int) -> list[Span]:
    """At most one span per bin of equal duration, around all spans in it; by time."""
    found = sorted(spans)
    if len(found) <= bins:
        return found
    begin = found[0][0]
    width = (found[-1][0] - begin) / bins or 1.0
    around: dict[int, Span] = {}
    for time, low, high in found:
        bin_number = min(int((time - begin) / width), bins - 1)
        first, lowest, highest = around.get(bin_number, (time, low, high))
        around[bin_number] = (first, min(lowest, low), max(highest, high))
    return list(around.values())


def ticks(begin: float, end: float, count: int, zone: tzinfo | None = None) -> tuple[list[float], list[str]]:
    """Times at which the axis has a mark, and the labels there."""
    label = "%H:%M:%S" if end - begin < _DAY_S else "%m-%d %H:%M"
    times = [begin + (end - begin) * i / (count - 1) for i in range(count)] if end > begin else [begin]
    return times, [datetime.fromtimestamp(time, zone).strftime(label) for time in times]
