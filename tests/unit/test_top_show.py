"""How `bdemo top` writes numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.cli import top_show
from backend_demo.operations.overview import HopView


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "–"), (0.0, "0"), (0.25, "0.2"), (42.61, "42.6"), (999.9, "999.9"), (999.96, "1,000"),
     (123456.7, "123.5k"), (1_234_567.0, "1.23M")],
)  # fmt: skip
def test_rates(value: float | None, said: str) -> None:
    assert top_show.rate(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "–"), (0.0005, "0.5 ms"), (0.0085, "8.5 ms"), (0.024, "24 ms"), (0.9996, "1.0 s"), (1.25, "1.2 s"),
     (35.0, "35 s"), (60.0, "≥60 s")],
)  # fmt: skip
def test_latencies(value: float | None, said: str) -> None:
    assert top_show.seconds(value) == said


@given(st.floats(0, 1e8))
def test_every_rate_and_latency_fits_its_column(value: float) -> None:
    widths = {column.title: column.width for column in top_show.COLUMNS}
    assert len(top_show.rate(value)) < widths["in/s"]
    assert len(top_show.seconds(value)) < widths["p50"]


def test_columns_fit_their_screens() -> None:
    for width in (80, 100, 121, 160):
        assert sum(column.width for column in top_show.columns(width)) <= width - 2


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [((), 5, ""), ((3.0,), 5, "▄"), ((1.0, 1.0), 5, "▄▄"), ((0.0, 4.0, 8.0), 5, "▁▅█"), ((9.0, 0.0, 8.0), 2, "▁█"),
     ((1.0, 2.0), 0, "")],
)  # fmt: skip
def test_sparklines(values: tuple[float, ...], width: int, drawn: str) -> None:
    assert top_show.sparkline(values, width) == drawn


@pytest.mark.parametrize("width", [20, 80, 81, 160])
def test_the_flow_names_every_hop_above_its_rate(width: int) -> None:
    hops = [HopView("MQTT, acknowledged", 5, 123456.0), HopView("src-data", 5, 1.0), HopView("table average", 5, None)]
    above, below = top_show.flow(hops, width)
    assert [above.index(word) for word in ("MQTT", "src-data", "average")] == [
        below.index(word) for word in ("123.5k/s", "1.0/s", "–")
    ]
    assert max(len(above), len(below)) <= max(width, 27)
