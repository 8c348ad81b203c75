"""What `bdemo query` prints on the screen."""

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from backend_demo.cli.query import watch
from backend_demo.cli.query.picture import show
from backend_demo.cli.query.table import table
from backend_demo.errors import ServiceFailed
from backend_demo.operations.query import SENSOR, Answer

ROWS = [(1, 1_700_000_000.0 - i, 20.0 + i / 3) for i in range(30)]
RANGE = Answer("range", ROWS, sensors=(1,), start=1_600_000_000.0)
DAY = 1_699_916_400.0
"""2023-11-14 in Berlin."""


def shown(capsys: pytest.CaptureFixture[str], answer: Answer, limit: int | None = 20) -> tuple[str, str]:
    show(answer, limit=limit)
    printed = capsys.readouterr()
    return printed.out, printed.err


@pytest.mark.parametrize(("limit", "lines"), [(20, 20), (5, 5), (None, 30), (100, 30)])
def test_a_table_that_is_cut_says_so(capsys: pytest.CaptureFixture[str], limit: int | None, lines: int) -> None:
    out, told = shown(capsys, RANGE, limit)
    assert out.count("2023-11-14 ") + out.count("2023-11-15 ") == lines
    assert told == ("" if lines == 30 else f"showing the first {lines} of 30; use --limit 0 for all\n")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (RANGE, "newest"),
        (replace(RANGE, descending=False), "oldest"),
        (Answer("sensors", [(1, 30, 0.0, 9.0, 20.0, None)] * 30, SENSOR), "first"),
    ],
)
def test_what_the_gateway_holds_back_is_told(capsys: pytest.CaptureFixture[str], answer: Answer, kind: str) -> None:
    _, told = shown(capsys, replace(answer, complete=False), None)
    assert told == f"showing the {kind} 30; use --limit 0 for all\n"


def test_nothing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    out, told = shown(capsys, replace(RANGE, rows=[]))
    assert (out, told) == ("", "no readings of sensor 1 since 2020-09-13 12:26:40; see: bdemo query sensors\n")


def test_buckets_begin_in_their_own_time_zone(capsys: pytest.CaptureFixture[str]) -> None:
    columns = ("sensor", "from", "mean", "count")
    buckets = Answer("range", [(1, DAY, 20.456, 1234)], columns, (), 0.0, zone="Europe/Berlin")
    out, _ = shown(capsys, buckets)
    assert "Readings of all sensors since " in out
    assert out.splitlines()[-2].split() == ["1", "2023-11-14", "00:00:00", "20.46", "1,234"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_number_is_never_cut(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend_demo.cli.query.table.time.time", lambda: DAY + 90_000 + 1110.5 * 86_400)
    answer = Answer("sensors", [(4711, 1_000_000, DAY, DAY + 90_000, 21.25, 22.75)], SENSOR)
    console = Console(width=width, highlight=False)
    with console.capture() as printed:
        console.print(table(answer, answer.rows, "Sensors", console))
    assert "…" not in printed.get()
    assert {"4711", "21.25"} <= set(printed.get().split())
    assert (" age " in printed.get()) == (width == 120)


def test_watching_prints_each_row_once_and_outlasts_an_outage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal: what is new, what has changed, and one line for an outage."""
    monkeypatch.setattr(watch.time, "sleep", lambda seconds: None)
    first, second, changed = (1, 1.0, 20.0), (1, 2.0, 21.0), (1, 1.0, 20.5)
    steps: list[Any] = [
        [first],
        ServiceFailed("the gateway does not answer"),
        ServiceFailed("the gateway does not answer"),
        [second, first],
        [second, changed],
        KeyboardInterrupt(),
    ]

    def ask() -> Answer:
        step = steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        return Answer("range", step, sensors=(1,), start=0.0)

    with pytest.raises(KeyboardInterrupt):
        watch.watch(ask, "csv", limit=None, chart=False, every_s=1)
    printed = capsys.readouterr()
    values = [line.rsplit(",", 1)[1] for line in printed.out.splitlines()]
    assert values == ["value", "20.0", "21.0", "20.5"]
    assert printed.err == "the gateway does not answer; asking again\n"
