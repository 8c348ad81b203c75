"""An item is read by the rules of a payload, and keeps its own bytes when it is rejected."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.names import SENSOR_MAX, number_of
from backend_demo.domain.reading import Reading, Rejected, decode_payload
from backend_demo.gateway.ingest.items import CsvRows, Found, HeaderInvalid, JsonObjects, sensor_in

NOW = 1_700_000_000.0


def decode(sensor: int, payload: bytes) -> Reading | Rejected:
    return decode_payload(sensor, payload, now=NOW, future_tolerance_s=60, time_min=946_684_800)[0]


def reading_of(item: str) -> Found:
    return JsonObjects(decode)(item.encode())


VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)
TIMES = st.floats(946_684_800, NOW) | st.integers(946_684_800, int(NOW))


@given(st.integers(0, SENSOR_MAX), VALUES, TIMES, st.permutations(["sensor", "value", "timestamp"]))
def test_an_object_is_the_reading_that_its_payload_is(
    sensor: int, value: float, timestamp: float, order: list[str]
) -> None:
    whole = {"sensor": sensor, "value": value, "timestamp": timestamp}
    expected = decode(sensor, json.dumps({"value": value, "timestamp": timestamp}).encode())
    assert isinstance(expected, Reading)
    for item in (whole, {**whole, "sensor": str(sensor)}, {**whole, "unit": "C"}):
        assert reading_of(json.dumps({name: item[name] for name in [*order, *(item.keys() - set(order))]})) == (
            str(sensor),
            expected,
        )
    header = ",".join(order)
    rows = CsvRows(decode)
    assert rows(header.encode()) is None
    line = ",".join(repr(whole[name]) for name in order)
    assert rows(line.encode()) == (str(sensor), expected)


@pytest.mark.parametrize(
    ("item", "sensor", "reason"),
    [
        ("7", None, "json"),
        ('["x"]', None, "json"),
        ('{"sensor": 7, "value": 1', None, "json"),
        ('{"value": 1, "timestamp": 1}', None, "field"),
        ('{"sensor": -1, "value": 1, "timestamp": 1}', None, "field"),
        ('{"sensor": 9223372036854775808, "value": 1, "timestamp": 1}', None, "field"),
        ('{"sensor": "07", "value": 1, "timestamp": 1}', None, "field"),
        ('{"sensor": null, "value": 1, "timestamp": 1}', None, "field"),
        ('{"sensor": 1.5, "value": 1, "timestamp": 1}', None, "field"),
        ('{"sensor": 7, "sensor": 8, "value": 1, "timestamp": 1}', None, "field"),
        ('{"sensor": 7, "\\u0073ensor": 8, "value": 1, "timestamp": 1}', None, "field"),
        ('{"sensor": 7, "value": 1}', "7", "field"),
        ('{"sensor": 7, "value": 1, "value": 2, "timestamp": 1600000000}', "7", "field"),
        ('{"sensor": 7, "value": "x", "timestamp": 1600000000}', "7", "value"),
        ('{"sensor": 7, "value": 1, "timestamp": "yesterday"}', "7", "time"),
        ('{"sensor": 7, "value": 1, "timestamp": 1700000061}', "7", "future"),
        ('{"sensor": 7, "value": 1, "timestamp": 1}', "7", "old"),
    ],
)
def test_an_object_that_is_no_reading(item: str, sensor: str | None, reason: str) -> None:
    found, rejected = reading_of(item)
    assert isinstance(rejected, Rejected)
    assert (found, rejected.reason, rejected.raw) == (sensor, reason, item.encode())


def test_times_in_all_forms() -> None:
    for given_time in ("1600000000.5", "2020-09-13T12:26:40.5Z", 1600000000.5):
        item = json.dumps({"sensor": "7", "value": "21", "timestamp": given_time})
        assert reading_of(item) == ("7", Reading(7, 1600000000.5, 21.0))


class TestCsv:
    """CsvRows."""

    def rows(self, *lines: str) -> list[Found | None]:
        read = CsvRows(decode)
        return [read(line.encode()) for line in lines]

    def test_any_order_of_columns_and_others_between(self) -> None:
        found = self.rows("Value, note ,SENSOR,timestamp", '21.5,"a, b",7,2020-09-13T12:26:40Z', '"1",,8,"1600000000"')
        assert found == [None, ("7", Reading(7, 1_600_000_000.0, 21.5)), ("8", Reading(8, 1_600_000_000.0, 1.0))]

    @pytest.mark.parametrize("header", ["7,1600000000,21.5", "sensor,timestamp", "sensor,sensor,value,timestamp", '"'])
    def test_a_header_is_needed(self, header: str) -> None:
        with pytest.raises(HeaderInvalid):
            self.rows(header)

    @pytest.mark.parametrize(
        ("line", "sensor", "reason"),
        [
            ("7,1600000000", None, "field"),
            ("7,1600000000,1,", None, "field"),
            ("x/y,1600000000,1", None, "field"),
            (",1600000000,1", None, "field"),
            ('7,"1600000000,1', None, "field"),
            ("7,,1", "7", "time"),
            ("7,1600000000,", "7", "value"),
            ("7,1600000000,nan", "7", "value"),
        ],
    )
    def test_a_line_that_is_no_reading(self, line: str, sensor: str | None, reason: str) -> None:
        found = self.rows("sensor,timestamp,value", line)[1]
        assert found is not None
        assert isinstance(found[1], Rejected)
        assert (found[0], found[1].reason, found[1].raw) == (sensor, reason, line.encode())

    def test_a_line_that_is_not_text(self) -> None:
        read = CsvRows(decode)
        read(b"sensor,timestamp,value")
        found = read(b"7,1600000000,\xff")
        assert found is not None
        assert isinstance(found[1], Rejected)


@pytest.mark.parametrize("given_sensor", [0, "12", SENSOR_MAX, "kitchen", "Küche 2"])
def test_a_sensor_has_a_number_or_a_name(given_sensor: int | str) -> None:
    assert sensor_in(b"", given_sensor) == str(given_sensor)
    item = json.dumps({"sensor": given_sensor, "value": 1, "timestamp": 1.6e9})
    assert reading_of(item) == (str(given_sensor), Reading(number_of(str(given_sensor)), 1.6e9, 1.0))


@pytest.mark.parametrize(
    "given_sensor", ["", "٣", SENSOR_MAX + 1, "a/b", "+", "#", "a\n", "x" * 129, "07", "7.0", "-1"]
)
def test_what_cannot_be_in_a_topic_is_no_sensor(given_sensor: int | str) -> None:
    assert isinstance(sensor_in(b"", given_sensor), Rejected)
