"""LTTB against its definition, and the limits on rows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend_demo.gateway.rows import downsample as sampling
from tests.unit.gateway.rows.test_columnar import Row, copied, cut


def lttb(times: Sequence[float], values: Sequence[float], points: int) -> list[int]:
    """The indices kept by largest triangle three buckets, as Steinarsson (2013) defines it."""
    count = len(times)
    size = (count - 2) / (points - 2)
    chosen = [0]
    for i in range(points - 2):
        begin, end = int(size * i) + 1, int(size * (i + 1)) + 1
        after = range(end, min(int(size * (i + 2)) + 1, count))
        x = sum(times[j] for j in after) / len(after)
        y = sum(values[j] for j in after) / len(after)
        a = chosen[-1]
        area = [
            abs((times[a] - x) * (values[j] - values[a]) - (times[a] - times[j]) * (y - values[a]))
            for j in range(begin, end)
        ]
        chosen.append(begin + area.index(max(area)))
    return [*chosen, count - 1]


@settings(deadline=None)
@given(st.integers(4, 300), st.integers(3, 50), st.integers(0, 2**32 - 1))
def test_it_is_lttb(count: int, points: int, seed: int) -> None:
    """With whole times and random values no two triangles are equal, so rounding never decides."""
    times = np.arange(count, dtype=float)
    values = np.random.default_rng(seed).random(count)
    found = sampling.sampled(np.array([times, values]), points)
    expected = range(count) if count <= points else lttb(times.tolist(), values.tolist(), points)
    assert found[0].tolist() == list(expected)
    assert found[1].tolist() == values[list(expected)].tolist()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 500])
def test_two_points_are_the_first_and_the_last(count: int) -> None:
    times = np.arange(count, dtype=float)
    found = sampling.sampled(np.array([times, times]), 2)
    assert found[0].tolist() == (times[[0, -1]].tolist() if count > 2 else times.tolist())


def sample(rows: Sequence[Row], points: int, cuts: Sequence[int] = ()) -> tuple[list[Row], int]:
    async def run() -> tuple[list[Row], int]:
        sampler = sampling.Downsampler(points)
        for piece in cut(copied(rows), cuts):
            await sampler.feed(piece)
        return await sampler.end(), sampler.read

    return asyncio.run(run())


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 2**62), st.integers(1, 40), max_size=6), st.lists(st.integers(0, 9000)))
def test_each_sensor_is_sampled_by_itself_however_the_rows_are_cut(counts: dict[int, int], cuts: list[int]) -> None:
    rows = [(sensor, float(i), float(i * 7 % 5)) for sensor, count in sorted(counts.items()) for i in range(count)]
    found, of = sample(rows, 10, cuts)
    assert of == len(rows)
    expected: list[Row] = []
    for sensor in sorted(counts):
        mine = np.array([row[1:] for row in rows if row[0] == sensor]).T.copy()
        expected += [(sensor, *point) for point in zip(*sampling.sampled(mine, 10).tolist(), strict=True)]
    assert found == expected


@pytest.mark.parametrize(
    ("limit", "told"),
    [("SENSOR_ROWS_MAX", "sensor 2 has more than 30 rows"), ("ROWS_MAX", "the range has"), ("ANSWER_MAX", "2 sensors")],
)
def test_too_many_rows_are_refused_before_they_take_memory(
    monkeypatch: pytest.MonkeyPatch, limit: str, told: str
) -> None:
    monkeypatch.setattr(sampling, limit, 30)
    rows = [(sensor, float(i), 1.0) for sensor, count in ((1, 20), (2, 31)) for i in range(count)]
    with pytest.raises(sampling.TooMuch, match=told):
        sample(rows, 25)
