"""What `bdemo query` prints."""

import csv
import io
import json
from typing import Any

import pytest

from backend_demo.cli import query_show
from backend_demo.cli.query import _times
from backend_demo.domain.reading import Reading
from backend_demo.errors import ServiceFailed, UsageError
from backend_demo.operations.query import Answer

ROWS = [Reading(1, 1_700_000_000.0 - i, 20.0 + i / 3) for i in range(30)]
RANGE = Answer("range", (1,), 1_600_000_000.0, None, ROWS)


def shown(capsys: pytest.CaptureFixture[str], answer: Answer, output: str, limit: int | None = None) -> tuple[str, str]:
    query_show.show(answer, output, limit=limit, chart=False)
    printed = capsys.readouterr()
    return printed.out, printed.err


def test_json_has_numbers_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    out, told = shown(capsys, RANGE, "json")
    document = json.loads(out)
    assert told == ""
    assert list(document) == ["schema", "query", "sensors", "from", "to", "rows", "truncated"]
    assert [(row["sensor"], row["timestamp"], row["value"]) for row in document["rows"]] == [
        (row.sensor, row.timestamp, row.value) for row in ROWS
    ]
    assert (document["schema"], document["to"], document["truncated"]) == ("bdemo.query/1", None, False)


def test_csv_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = shown(capsys, RANGE, "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [Reading(int(row["sensor"]), float(row["timestamp"]), float(row["value"])) for row in rows] == ROWS


@pytest.mark.parametrize(("limit", "lines"), [(None, 20), (5, 5), (0, 30), (100, 30)])
def test_a_table_that_is_cut_says_so(capsys: pytest.CaptureFixture[str], limit: int | None, lines: int) -> None:
    out, told = shown(capsys, RANGE, "table", limit)
    assert out.count("2023-11-14 ") + out.count("2023-11-15 ") == lines
    assert told == ("" if lines == 30 else f"the newest {lines} of 30; all with --limit 0\n")


def test_a_limit_holds_for_json_too_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    out, told = shown(capsys, RANGE, "json", 3)
    document = json.loads(out)
    assert (len(document["rows"]), document["truncated"]) == (3, True)
    assert "3 of 30" in told


def test_nothing_is_told_and_json_is_still_json(capsys: pytest.CaptureFixture[str]) -> None:
    empty = Answer("range", (1,), 1_600_000_000.0, None, [])
    assert shown(capsys, empty, "table")[0] == ""
    out, told = shown(capsys, empty, "json")
    assert json.loads(out)["rows"] == []
    assert "nothing of sensor 1 since 2020-09-13" in told


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (61, "1 min 1 s"),
        (7260, "2 h 1 min"),
        (90_000, "1 d 1 h"),
        (-2.5, "in 2.5 s"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert query_show._age(seconds) == text


def test_watching_prints_each_row_once_and_outlasts_an_outage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal: what is new, what has changed, and one line for an outage."""
    monkeypatch.setattr(query_show.time, "sleep", lambda seconds: None)
    first, second, changed = Reading(1, 1.0, 20.0), Reading(1, 2.0, 21.0), Reading(1, 1.0, 20.5)
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
        return Answer("range", (1,), 0.0, None, step)

    with pytest.raises(KeyboardInterrupt):
        query_show.watch(ask(), ask, "csv", limit=None, chart=False, every_s=1)
    printed = capsys.readouterr()
    values = [line.rsplit(",", 1)[1] for line in printed.out.splitlines()]
    assert values == ["value", "20.0", "21.0", "20.5"]
    assert printed.err == "the gateway does not answer; asking again\n"


def test_without_a_time_it_is_the_last_five_minutes() -> None:
    start, end = _times(None, None, None)
    early, _ = _times("5m", None, None)
    assert end is None
    assert abs(start - early) < 1
    assert _times(None, "1700000000", "1700000001") == (1_700_000_000.0, 1_700_000_001.0)


@pytest.mark.parametrize("times", [("5m", "0", None), (None, "2", "1"), ("soon", None, None), (None, None, "1d ago")])
def test_times_that_contradict(times: tuple[str | None, str | None, str | None]) -> None:
    with pytest.raises(UsageError):
        _times(*times)
