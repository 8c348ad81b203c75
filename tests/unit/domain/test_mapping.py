"""Mappings: readings in the payloads that real devices send."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.mapping import DeviceMapping, Mapped, MappingInvalid, Mappings, TopicSensors, with_preset
from backend_demo.domain.names import number_of
from backend_demo.domain.presets import PRESETS
from backend_demo.domain.reading import Rejected, TimeLimits

ARRIVED = 1_764_000_000.123
LIMITS = TimeLimits(ARRIVED, 60, 946_684_800)
BERLIN = ZoneInfo("Europe/Berlin")


def mapping(**fields: Any) -> DeviceMapping:
    zone = fields.pop("zone", None)
    return DeviceMapping(**with_preset(fields, PRESETS), zone=zone)


def read(one: DeviceMapping, topic: str, payload: bytes) -> Mapped | Rejected:
    assert one.topic.matches(topic)
    return one.read(topic, payload, arrived=ARRIVED, limits=LIMITS)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


TTN = b"""{"end_device_ids":{"device_id":"dev1","application_ids":{"application_id":"app1"},
"dev_eui":"0004A30B001C0530","join_eui":"800000000000000C","dev_addr":"00BCB929"},
"correlation_ids":["as:up:01E0WZGT6Y7657CPFPE5WEYDSQ"],"received_at":"2025-02-12T15:15:46.123456789Z",
"uplink_message":{"session_key_id":"AXA50...","f_cnt":1,"f_port":1,"frm_payload":"gkHe",
"decoded_payload":{"temperature":21.5,"luminosity":0.64},
"rx_metadata":[{"gateway_ids":{"gateway_id":"gtw1","eui":"9C5C8E00001A05C4"},"time":"2025-02-12T15:15:45.787Z",
"timestamp":2463457000,"rssi":-35,"channel_rssi":-35,"snr":5.2}],
"settings":{"data_rate":{"lora":{"bandwidth":125000,"spreading_factor":7}},"coding_rate":"4/6","frequency":"868300000"},
"received_at":"2025-02-12T15:15:45.987654321Z"}}"""

SHELLY_RPC = b"""{"src":"shellyplusht-b8d61a8b17cc","dst":"shellyplusht-b8d61a8b17cc/events",
"method":"NotifyFullStatus","params":{"ts":1763999999.62,"ble":{},"cloud":{"connected":false},"devicepower:0":{"id":0,"battery":{"V":0.43,
"percent":0},"external":{"present":true}},"humidity:0":{"id":0,"rh":42.2},"sys":{"mac":"B8D61A8B17CC","time":null,
"unixtime":null,"uptime":3},"temperature:0":{"id":0,"tC":19.8,"tF":67.6}}}"""


@pytest.mark.parametrize(
    ("fields", "topic", "payload", "sensor", "timestamp", "value"),
    [
        (
            {"preset": "zigbee2mqtt"},
            "zigbee2mqtt/kitchen",
            b'{"battery":97,"humidity":44.72,"linkquality":72,"temperature":27.34,"voltage":2995}',
            "kitchen",
            ARRIVED,
            27.34,
        ),
        (
            {"preset": "zigbee2mqtt", "time": "last_seen", "time_format": "rfc3339"},
            "zigbee2mqtt/0x00158d0001a2b3c4",
            b'{"last_seen":"2025-11-24T15:59:59+01:00","temperature":21}',
            "0x00158d0001a2b3c4",
            at("2025-11-24T15:59:59+01:00"),
            21.0,
        ),
        (
            {"preset": "zigbee2mqtt", "time": "last_seen", "time_format": "ms"},
            "zigbee2mqtt/cellar",
            b'{"last_seen":1763999999123,"temperature":21}',
            "cellar",
            1763999999.123,
            21.0,
        ),
        (
            {"preset": "tasmota", "zone": BERLIN},
            "tele/TH16/SENSOR",
            b'{"Time":"2018-03-02T18:25:03","AM2301":{"Temperature":22.6,"Humidity":32.4},"TempUnit":"C"}',
            "TH16",
            at("2018-03-02T18:25:03+01:00"),
            22.6,
        ),
        (
            {"preset": "tasmota", "zone": BERLIN, "value": "DS18B20-2.Temperature", "unit": "F"},
            "tele/boiler/SENSOR",
            b'{"Time":"2025-07-02T18:25:03","DS18B20-1":{"Id":"0316A2795D4D","Temperature":104.0},'
            b'"DS18B20-2":{"Id":"0316A279AABB","Temperature":72.5},"TempUnit":"F"}',
            "boiler",
            at("2025-07-02T18:25:03+02:00"),
            22.5,
        ),
        (
            {"preset": "shelly-gen1"},
            "shellies/shellyht-1A2B3C/sensor/temperature",
            b"47.69",
            "shellyht-1A2B3C",
            ARRIVED,
            47.69,
        ),
        (
            {"preset": "shelly-gen1", "topic": "shellies/{sensor}/ext_temperature/0"},
            "shellies/shelly1-AABBCC/ext_temperature/0",
            b"35.75",
            "shelly1-AABBCC",
            ARRIVED,
            35.75,
        ),
        (
            {"preset": "shelly-gen2"},
            "shellyplusht-b8d61a8b17cc/status/temperature:0",
            b'{"id": 0,"tC":19.8, "tF":67.6}',
            "shellyplusht-b8d61a8b17cc",
            ARRIVED,
            19.8,
        ),
        (
            {"preset": "shelly-gen2-rpc"},
            "shellyplusht-b8d61a8b17cc/events/rpc",
            SHELLY_RPC,
            "shellyplusht-b8d61a8b17cc",
            1763999999.62,
            19.8,
        ),
        ({"preset": "esphome"}, "livingroom/sensor/temperature/state", b"21.5", "livingroom", ARRIVED, 21.5),
        (
            {"preset": "rtl_433", "zone": BERLIN},
            "rtl_433/raspberry/events",
            b'{"time":"2023-01-05 11:45:35","model":"Acurite-Tower","id":1234,"channel":"A","battery_ok":1,'
            b'"temperature_C":21.5,"humidity":40,"mic":"CHECKSUM"}',
            "Acurite-Tower-1234",
            at("2023-01-05T11:45:35+01:00"),
            21.5,
        ),
        (
            {"preset": "rtl_433", "zone": BERLIN},
            "rtl_433/9b13b3f4-rtl433/events",
            b'{"time":"2023-01-05T11:45:35.123456+0000","model":"Nexus-TH","id":7,"channel":1,"temperature_C":-3.1}',
            "Nexus-TH-7",
            at("2023-01-05T11:45:35.123456+00:00"),
            -3.1,
        ),
        (
            {"preset": "rtl_433-devices"},
            "rtl_433/raspberry/devices/Acurite-Tower/A/1234/temperature_C",
            b"21.50000",
            "1234",
            ARRIVED,
            21.5,
        ),
        ({"preset": "ttn"}, "v3/app1@ttn/devices/dev1/up", TTN, "dev1", at("2025-02-12T15:15:45.987654Z"), 21.5),
        ({"preset": "tesensor"}, "/data/from/tesensor12", b"value=37", "12", ARRIVED, 37.0),
        (
            {
                "topic": "plant/+/{sensor}/#",
                "value": "payload:t",
                "time": "payload:at",
                "time_format": "us",
                "unit": "K",
            },
            "plant/hall/pump/1/raw",
            b"t=295.15&at=1763999999123456;state=on",
            "pump",
            1763999999.123456,
            22.0,
        ),
        (
            {"topic": "a/{sensor}", "value": "readings.1.value", "time": "readings.1.at"},
            "a/7",
            b'{"readings":[{"value":1,"at":1},{"value":"2.5","at":"1763999999"}]}',
            "7",
            1763999999.0,
            2.5,
        ),
    ],
)
def test_a_device(
    fields: dict[str, Any], topic: str, payload: bytes, sensor: str, timestamp: float, value: float
) -> None:
    assert read(mapping(**fields), topic, payload) == Mapped(sensor, timestamp, value)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_mapping(preset: str) -> None:
    mapping(preset=preset, zone=BERLIN)


@pytest.mark.parametrize(
    ("fields", "payload", "reason", "detail"),
    [
        ({}, b"", "empty", "no payload"),
        ({}, b"{", "json", "truncated"),
        ({}, b'{"state":"ON"}', "field", "no 't' in the payload"),
        ({}, b"[21.5]", "field", "no 't' in the payload"),
        ({}, b'{"t":null}', "field", "the value is not a number: None"),
        ({}, b'{"t":true}', "field", "the value is not a number: True"),
        ({}, b'{"t":"warm"}', "value", "not a finite number: 'warm'"),
        ({}, b'{"t":"nan"}', "value", "not a finite number: 'nan'"),
        ({}, b'{"t":1' + b"0" * 400 + b"}", "value", "not a finite number"),
        ({"value": "*.t"}, b'{"a":{"t":1},"b":{"t":2}}', "field", "2 values under '*.t'"),
        ({"value": "payload"}, b"nan", "value", "not a finite number: 'nan'"),
        ({"value": "payload"}, b"\xff", "value", "utf-8"),
        ({"value": "payload:value"}, b"37", "field", "no 'value' in the payload"),
        ({"value": "payload:value"}, b"value=1&value=2", "field", "a key more than once"),
        ({"time": "at"}, b'{"t":1}', "field", "no 'at' in the payload"),
        ({"time": "at"}, b'{"t":1,"at":null}', "time", "no time in the format 's': None"),
        ({"time": "at"}, b'{"t":1,"at":"2025-01-01T00:00:00Z"}', "time", "no time in the format 's'"),
        ({"time": "at"}, b'{"t":1,"at":1764000000123}', "future", "looks like milliseconds"),
        ({"time": "at", "time_format": "ms"}, b'{"t":1,"at":1764000000}', "old", "is before 2000-01-01"),
        ({"time": "at", "time_format": "rfc3339"}, b'{"t":1,"at":"2025-01-01T00:00:00"}', "time", "'rfc3339'"),
        ({"time": "at", "time_format": "rfc3339"}, b'{"t":1,"at":1764000000}', "time", "'rfc3339'"),
        (
            {"time": "at", "time_format": "local", "zone": BERLIN},
            b'{"t":1,"at":"2025-02-30T00:00:00"}',
            "time",
            "local",
        ),
        ({"topic": "a/+", "sensor": "{id}"}, b'{"t":1}', "field", "no 'id' in the payload"),
        ({"topic": "a/+", "sensor": "{id}"}, b'{"t":1,"id":1.5}', "field", "'id' is neither a text nor a whole number"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], payload: bytes, reason: str, detail: str) -> None:
    one = mapping(**{"topic": "a/{sensor}", "value": "t", "time": "arrival", **fields})
    found = read(one, "a/7", payload)
    assert isinstance(found, Rejected)
    assert (found.reason, found.raw) == (reason, payload)
    assert detail in found.detail


@given(st.binary(max_size=60), st.sampled_from(["t", "*.t", "0", "payload", "payload:t"]))
def test_any_bytes_are_a_reading_or_refused(payload: bytes, value: str) -> None:
    one = mapping(topic="a/{sensor}", value=value, time="arrival")
    assert isinstance(read(one, "a/7", payload), Mapped | Rejected)


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"preset": "zigbee"}, "preset", "unknown preset 'zigbee': zigbee2mqtt, "),
        ({"topic": ""}, "topic", "topic is missing"),
        ({"value": ""}, "value", "value is missing"),
        ({"time": ""}, "time", "time is missing: write for example time = 'arrival'"),
        ({"unit": "X"}, "unit", "unknown unit 'X': C, F, K"),
        ({"time_format": "min"}, "time_format", "unknown time_format 'min'"),
        ({"time": "at", "time_format": "local"}, "zone", "needs a zone"),
        ({"topic": "a/+"}, "topic", "has no {sensor}"),
        ({"sensor": "{id}"}, "sensor", "named twice"),
        ({"topic": "a/+", "sensor": "id"}, "sensor", "no path in braces"),
        ({"topic": "{sensor}/{sensor}"}, "topic", "more than once"),
        ({"topic": "a/x+/{sensor}"}, "topic", "+ stands alone"),
        ({"topic": "a/#/{sensor}"}, "topic", "# alone in the last one"),
        ({"value": "a..b"}, "value", "invalid path 'a..b'"),
        ({"value": "payload", "time": "at"}, "time", "a bare payload holds nothing but the value"),
        ({"value": "payload:t", "time": "at"}, "time", "in one form"),
    ],
)
def test_an_invalid_mapping(fields: dict[str, str], field: str, message: str) -> None:
    with pytest.raises(MappingInvalid) as problem:
        mapping(**{"topic": "a/{sensor}", "value": "t", "time": "arrival", **fields})
    assert problem.value.field == field
    assert message in str(problem.value)


@pytest.mark.parametrize(
    ("pattern", "topic", "sensor"),
    [
        ("zigbee2mqtt/{sensor}", "zigbee2mqtt/kitchen", "kitchen"),
        ("zigbee2mqtt/{sensor}", "zigbee2mqtt/kitchen/set", None),
        ("zigbee2mqtt/{sensor}", "zigbee2mqtt/", None),
        ("/data/from/tesensor{sensor}", "/data/from/tesensor7", "7"),
        ("/data/from/tesensor{sensor}", "/data/from/other7", None),
        ("a/t.{sensor}-x/+", "a/t.7-x/", "7"),
        ("a/t.{sensor}-x/+", "a/tz7-x/b", None),
        ("{sensor}/#", "a", "a"),
        ("{sensor}/#", "a/b/c", "a"),
        ("{sensor}/#", "$SYS/broker", None),
    ],
)
def test_the_sensor_in_a_topic(pattern: str, topic: str, sensor: str | None) -> None:
    found = mapping(topic=pattern, value="payload", time="arrival").topic
    assert found.matches(topic) == (sensor is not None)
    assert found.sensor(topic) == (sensor or "")


def test_the_filter_of_a_pattern() -> None:
    patterns = ["zigbee2mqtt/{sensor}", "/data/from/tesensor{sensor}", "+/{sensor}/#"]
    found = [mapping(topic=pattern, value="payload", time="arrival").topic.filter for pattern in patterns]
    assert found == ["zigbee2mqtt/+", "/data/from/+", "+/+/#"]


def test_the_first_mapping_that_matches_applies() -> None:
    one = mapping(topic="a/{sensor}", value="payload", time="arrival")
    two = mapping(topic="+/{sensor}", value="payload", time="arrival")
    mappings = Mappings([one, two])
    assert [mappings.of(topic) for topic in (b"a/1", b"b/1", b"a/1", b"c")] == [
        (one, "a/1"),
        (two, "b/1"),
        (one, "a/1"),
        None,
    ]


def test_the_hour_that_comes_twice_is_the_first() -> None:
    one = mapping(topic="a/{sensor}", value="t", time="at", time_format="local", zone=BERLIN)
    found = read(one, "a/7", b'{"t":1,"at":"2025-10-26T02:30:00"}')
    assert isinstance(found, Mapped)
    assert datetime.fromtimestamp(found.timestamp, UTC).isoformat() == "2025-10-26T00:30:00+00:00"


def test_the_sensor_of_a_topic_of_either_kind() -> None:
    sensor_of = TopicSensors([mapping(preset="zigbee2mqtt"), mapping(preset="rtl_433", zone=BERLIN)])
    topics = (b"zigbee2mqtt/kitchen", b"zigbee2mqtt/7", b"sensors/kitchen/temperature", b"rtl_433/x/events", b"x")
    kitchen = number_of("kitchen")
    assert [sensor_of(topic) for topic in topics] == [kitchen, 7, kitchen, None, None]
