"""Durations and times on the command line."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.cli.times import duration_s, point_in_time
from backend_demo.errors import UsageError

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("1s500ms", 1.5),
        ("2d", 172_800),
        ("1w1d1h1m1s1ms", 694_861.001),
        (" 10s ", 10),
    ],
)
def test_a_duration_is_seconds_or_units(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "10x",
        "m",
        "-5",
        "-5m",
        "+5m",
        "nan",
        "inf",
        "1e3",
        "0",
        "0s",
        "5m5m",
        "30m1h",
        "1_000",
        "٥m",
        "1 h",
        "9" * 400,
    ],
)
def test_an_invalid_duration_is_a_usage_error_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        duration_s(text)
    assert raised.value.hint
    assert len(raised.value.message) < 120


@given(st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_units_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert duration_s(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds


def test_a_time_is_relative_absolute_or_epoch_seconds() -> None:
    assert point_in_time("now", NOW) == NOW
    assert point_in_time("5m", NOW) == NOW - 300
    assert point_in_time("1700000000.5", NOW) == 1_700_000_000.5
    assert point_in_time("0", NOW) == 0
    assert point_in_time("2026-11-24T10:00:00Z", NOW) == datetime(2026, 11, 24, 10, tzinfo=UTC).timestamp()
    assert (
        point_in_time("2026-11-24t10:00:00.25+01:00", NOW) == datetime(2026, 11, 24, 9, tzinfo=UTC).timestamp() + 0.25
    )


def test_a_time_without_offset_is_local() -> None:
    assert point_in_time("2026-11-24 10:00", NOW) == datetime(2026, 11, 24, 10).timestamp()
    assert point_in_time("2026-11-24", NOW) == datetime(2026, 11, 24).timestamp()


def test_longer_ago_than_1970_is_1970() -> None:
    assert point_in_time("5000w", NOW) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "-5",
        "2026-13-01",
        "2026-02-30T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "1e9",
        "nan",
        "9" * 40,
        "10x",
    ],
)
def test_an_invalid_time_is_a_usage_error_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        point_in_time(text, NOW)
    assert raised.value.hint


def test_an_error_names_its_option_and_value() -> None:
    with pytest.raises(UsageError, match=r"^--wait: invalid duration '5x'$"):
        duration_s("5x", "--wait")
    with pytest.raises(UsageError, match=r"^--since: invalid time 'yesterday'$"):
        point_in_time("yesterday", NOW, "--since")


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)))
def test_rfc_3339_is_read_back_exactly(moment: datetime) -> None:
    assert point_in_time(moment.isoformat(), NOW) == moment.timestamp()


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_a_usage_error(text: str) -> None:
    for parse in (duration_s, lambda text: point_in_time(text, NOW)):
        with contextlib.suppress(UsageError):
            assert parse(text) >= 0
