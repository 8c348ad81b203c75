"""Payloads: what is a reading, what is refused and why, and that nothing else can happen."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend_demo.domain.reading import Reading, Rejected, decode_payload, decode_reading, encode, micros, normalized
from backend_demo.domain.topics import mqtt_topic, sensor_of, why_no_sensor

NOW = 1_800_000_000.0


def decode(payload: bytes) -> list[Reading | Rejected]:
    return decode_payload(7, payload, now=NOW, future_tolerance_s=60, time_min=0)


@pytest.mark.parametrize(
    ("payload", "timestamp", "value"),
    [
        (b'{"timestamp": "1664000000", "value": "21"}', 1664000000.0, 21.0),
        (b'{"timestamp": 1664000000.123456, "value": 21.5}', 1664000000.123456, 21.5),
        (b'{"value": -0.0, "timestamp": 0}', 0.0, 0.0),
        (b'{"value": "1e1", "timestamp": "2023-01-01T00:00:00Z"}', 1672531200.0, 10.0),
        (b'{"value": 1, "timestamp": "2023-01-01T02:00:00.5+02:00"}', 1672531200.5, 1.0),
        (b' {"value": 1, "timestamp": 2, "unit": "C", "more": {"value": 3}} ', 2.0, 1.0),
        (b'{"value": 1, "timestamp": "2023-01-01T02:00:00.5+0200"}', 1672531200.5, 1.0),
        ('{"value": 1, "timestamp": 2, "unit": "°C"}'.encode(), 2.0, 1.0),
        (b'{"v\\u0061lue": 1, "timestamp": 2}', 2.0, 1.0),
    ],
)
def test_a_reading(payload: bytes, timestamp: float, value: float) -> None:
    assert decode(payload) == [Reading(7, timestamp, value)]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"[]", "empty"),
        (b"x", "json"),
        (b"\xef\xbb\xbf{}", "json"),
        ('{"value": 1, "timestamp": 2}'.encode("utf-16"), "json"),
        (b'{"value": 1, "timestamp": 2', "json"),
        (b'{"value": 1, "timestamp": 2} x', "json"),
        (b'{"value": 1, "timestamp": 2}{"value": 1, "timestamp": 2}', "json"),
        (b'{"value": 1, "timestamp": 2, "x": "\xff"}', "json"),
        (b'{"value": NaN, "timestamp": 2}', "json"),
        (b"null", "json"),
        (b"true", "json"),
        (b'"text"', "json"),
        (b"12", "json"),
        (b"[" * 200_000, "json"),
        (b'{"a":' * 100_000, "json"),
        (b"{}", "field"),
        (b'{"value": 1}', "field"),
        (b'{"timestamp": 1}', "field"),
        (b'{"value": null, "timestamp": 2}', "field"),
        (b'{"value": true, "timestamp": 2}', "field"),
        (b'{"value": [1], "timestamp": 2}', "field"),
        (b'{"value": 1, "value": 1, "timestamp": 2}', "field"),
        (b'{"value": 1, "timestamp": 2, "timest\\u0061mp": 3}', "field"),
        (b'{"value": 1e400, "timestamp": 2}', "value"),
        (b'{"value": ' + b"1" * 5000 + b', "timestamp": 2}', "value"),
        (b'{"value": "", "timestamp": 2}', "value"),
        (b'{"value": "NaN", "timestamp": 2}', "value"),
        (b'{"value": "Infinity", "timestamp": 2}', "value"),
        (b'{"value": "25 ", "timestamp": 2}', "value"),
        (b'{"value": "1_000", "timestamp": 2}', "value"),
        (b'{"value": "20C", "timestamp": 2}', "value"),
        ('{"value": "٢٥", "timestamp": 2}'.encode(), "value"),
        ('{"value": "²", "timestamp": 2}'.encode(), "value"),
        (b'{"value": 1, "timestamp": -1}', "old"),
        (b'{"value": 1, "timestamp": "nan"}', "time"),
        (b'{"value": 1, "timestamp": "2023-01-01"}', "time"),
        (b'{"value": 1, "timestamp": "2023-13-01T00:00:00Z"}', "time"),
        (b'{"value": 1, "timestamp": 1664000000000}', "future"),
        (b'{"value": 1, "timestamp": "9999-01-01T00:00:00Z"}', "future"),
        (b'{"value": 1, "timestamp": 1800000061}', "future"),
    ],
)
def test_no_reading(payload: bytes, reason: str) -> None:
    (found,) = decode(payload)
    assert isinstance(found, Rejected)
    assert found.reason == reason
    assert found.raw == payload
    assert found.detail


@pytest.mark.parametrize(
    ("timestamp", "reason", "detail"),
    [
        ("1764455555123", "future", "1764455555123 looks like milliseconds; send seconds"),
        ('"1764455555123"', "future", "1764455555123 looks like milliseconds; send seconds"),
        ("1764455555123456", "future", "1764455555123456 looks like microseconds; send seconds"),
        ("1764455555123456000", "future", "1764455555123456000 looks like nanoseconds; send seconds"),
        ("1900000000", "future", "100000000 s ahead of now"),
        ("1e30", "future", "1000000000000000019884624838656 s ahead of now"),
        ("946684799.5", "old", "946684799.5 is before 2000-01-01T00:00:00Z, the earliest time that is taken"),
        ("0", "old", "0 is before 2000-01-01T00:00:00Z, the earliest time that is taken"),
        ("-5", "old", "-5 is before 2000-01-01T00:00:00Z, the earliest time that is taken"),
        ("-1764455555123", "old", "-1764455555123 is before 2000-01-01T00:00:00Z, the earliest time that is taken"),
    ],
)
def test_a_time_out_of_bounds_is_refused_as_what_it_is(timestamp: str, reason: str, detail: str) -> None:
    payload = b'{"value": 1, "timestamp": %b}' % timestamp.encode()
    (found,) = decode_payload(7, payload, now=NOW, future_tolerance_s=60, time_min=946_684_800)
    assert found == Rejected(reason, detail, payload)


def test_the_earliest_time_itself_is_taken() -> None:
    payload = b'{"value": 1, "timestamp": 946684800}'
    found = decode_payload(7, payload, now=NOW, future_tolerance_s=60, time_min=946_684_800)
    assert found == [Reading(7, 946_684_800.0, 1.0)]


def test_a_bad_element_disturbs_nothing_beside_it() -> None:
    first, bad, last = decode(
        b'[{"value": 1, "timestamp": 2}, {"value": "x", "timestamp": 3}, {"value": 4, "timestamp": 5}]'
    )
    assert (first, last) == (Reading(7, 2.0, 1.0), Reading(7, 5.0, 4.0))
    assert isinstance(bad, Rejected)
    assert bad.raw == b'{"value": "x", "timestamp": 3}'


@given(st.binary(max_size=200))
@settings(max_examples=500)
def test_any_bytes_are_readings_or_rejected(payload: bytes) -> None:
    assert all(isinstance(found, Reading | Rejected) for found in decode(payload))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["value", "timestamp", "x"]), inner),
    max_leaves=8,
)


@given(json_values)
@settings(max_examples=500)
def test_any_json_gives_only_usable_readings(document: object) -> None:
    for found in decode(json.dumps(document).encode(errors="surrogatepass")):
        if isinstance(found, Reading):
            assert math.isfinite(found.value)
            assert 0 <= found.timestamp <= NOW + 60


@given(st.integers(0, 2**63 - 1), st.floats(0, NOW), st.floats(-1e6, 1e6))
def test_a_reading_survives_the_wire(sensor: int, timestamp: float, value: float) -> None:
    reading = Reading(sensor, normalized(timestamp), value)
    assert decode_reading(encode(reading)) == reading
    assert micros(reading.timestamp) == micros(timestamp)


@pytest.mark.parametrize(
    ("topic", "sensor"),
    [
        ("sensors/1/temperature", 1),
        ("/sensor12/temp", 12),
        ("sensors/0/temperature", 0),
        ("/sensor9223372036854775807/temp", 2**63 - 1),
        ("/sensor9223372036854775808/temp", None),
        ("/sensor99999999999999999999/temp", None),
        ("/floor3/sensor1/temp", None),
        ("/sensor/temp", None),
        ("/sensor-1/temp", None),
        ("/sensor01/temp", None),
        ("/sensor²/temp", None),
        ("/sensor٣/temp", None),
        ("sensors/1/temperature\n", None),
        ("sensors/01/temperature", None),
        ("sensors/a\n/temperature", None),
        ("/sensorkitchen/temp", None),
        ("sensors//temperature", None),
        ("$SYS/broker/uptime", None),
        ("", None),
    ],
)
def test_the_sensor_of_a_topic(topic: str, sensor: int | None) -> None:
    assert sensor_of(topic) == sensor


@pytest.mark.parametrize(
    ("topic", "detail"),
    [
        ("sensors/7/humidity", "humidity of sensor 7: only temperature is taken"),
        ("/sensor7/hum", "hum of sensor 7: only temperature is taken"),
        ("sensors/99999999999999999999/temperature", "invalid sensor number '99999999999999999999'"),
        ("sensors/kitchen/humidity", "humidity of sensor kitchen: only temperature is taken"),
        ("sensors/a\0/temperature", "invalid sensor: a name with the character '\\x00'"),
        ("/floor3/sensor1/temp", "no sensor in '/floor3/sensor1/temp'"),
    ],
)
def test_a_topic_without_a_sensor_is_refused_as_what_it_is(topic: str, detail: str) -> None:
    assert sensor_of(topic) is None
    assert why_no_sensor(topic) == detail


@given(st.integers(0, 2**63 - 1), st.booleans())
def test_a_topic_names_its_sensor(sensor: int, original: bool) -> None:
    assert sensor_of(mqtt_topic(sensor, original=original)) == sensor
