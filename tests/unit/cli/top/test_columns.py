"""How `bdemo top` writes numbers and services."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.cli.render import show
from backend_demo.cli.top.columns import COLUMNS, columns_for, flow
from backend_demo.cli.top.numbers import rate, seconds, sparkline
from backend_demo.cli.top.once import result, view
from backend_demo.operations.observe.overview import overview
from backend_demo.operations.observe.samples import Scrape
from backend_demo.operations.observe.view import HopView
from backend_demo.stack.base import ServiceStatus
from tests.support.schemas import check


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "–"), (0.0, "0"), (0.25, "0.2"), (42.61, "42.6"), (999.9, "999.9"), (999.96, "1,000"),
     (123456.7, "123.5k"), (1_234_567.0, "1.23M")],
)  # fmt: skip
def test_rates(value: float | None, said: str) -> None:
    assert rate(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "–"), (0.0005, "0.5 ms"), (0.0085, "8.5 ms"), (0.024, "24 ms"), (0.9996, "1.0 s"), (1.25, "1.2 s"),
     (35.0, "35 s"), (60.0, "≥60 s")],
)  # fmt: skip
def test_latencies(value: float | None, said: str) -> None:
    assert seconds(value) == said


@given(st.floats(0, 1e8))
def test_every_rate_and_latency_fits_its_column(value: float) -> None:
    widths = {column.title: column.width for column in COLUMNS}
    assert len(rate(value)) < widths["in/s"]
    assert len(seconds(value)) < widths["p50"]


def test_columns_fit_their_screens() -> None:
    for width in (80, 100, 121, 160):
        assert sum(column.width for column in columns_for(width)) <= width - 2


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [((), 5, ""), ((3.0,), 5, "▄"), ((1.0, 1.0), 5, "▄▄"), ((0.0, 4.0, 8.0), 5, "▁▅█"), ((9.0, 0.0, 8.0), 2, "▁█"),
     ((1.0, 2.0), 0, "")],
)  # fmt: skip
def test_sparklines(values: tuple[float, ...], width: int, drawn: str) -> None:
    assert sparkline(values, width) == drawn


@pytest.mark.parametrize("width", [20, 80, 81, 160])
def test_the_flow_names_every_hop_above_its_rate(width: int) -> None:
    hops = [HopView("MQTT, acknowledged", 5, 123456.0), HopView("src-data", 5, 1.0), HopView("table average", 5, None)]
    above, below = flow(hops, width)
    assert [above.index(word) for word in ("MQTT", "src-data", "average")] == [
        below.index(word) for word in ("123.5k/s", "1.0/s", "–")
    ]
    assert max(len(above), len(below)) <= max(width, 27)


def test_the_result_of_once_fits_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    seen = [ServiceStatus("kafka", "ready", pid=7), ServiceStatus("gateway", "failed", error="it ended")]
    found = result("embedded", overview(Scrape(1.0, {}), Scrape(3.0, {"loader": None}), seen))
    show(found, "json", view)
    document = check(json.loads(capsys.readouterr().out))
    assert (document["stack"], document["healthy"], document["interval_s"]) == ("embedded", False, 2.0)
    assert [service["name"] for service in document["services"]] == ["kafka", "gateway", "loader"]
    show(found, "table", view)
    assert "gateway" in capsys.readouterr().out
