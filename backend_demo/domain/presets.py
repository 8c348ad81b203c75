"""Ready-made mappings of common devices: the fields of a `[[mapping]]`, which a user's own fields override."""

from __future__ import annotations

PRESETS: dict[str, dict[str, str]] = {
    # {"temperature": 27.34, "humidity": 44.72}; `last_seen` is there only if zigbee2mqtt is told so
    "zigbee2mqtt": {"topic": "zigbee2mqtt/{sensor}", "value": "temperature", "time": "arrival"},
    # {"Time": "2018-03-02T18:25:03", "AM2301": {"Temperature": 22.6, "Humidity": 32.4}, "TempUnit": "C"}
    "tasmota": {
        "topic": "tele/{sensor}/SENSOR",
        "value": "*.Temperature",
        "time": "Time",
        "time_format": "local",
    },
    # 47.69
    "shelly-gen1": {"topic": "shellies/{sensor}/sensor/temperature", "value": "payload", "time": "arrival"},
    # {"id": 0, "tC": 19.8, "tF": 67.6}
    "shelly-gen2": {"topic": "{sensor}/status/temperature:0", "value": "tC", "time": "arrival"},
    # {"src": ..., "method": "NotifyStatus", "params": {"ts": 1680962879.62, "temperature:0": {"id": 0, "tC": 19.8}}}
    "shelly-gen2-rpc": {
        "topic": "{sensor}/events/rpc",
        "value": "params.temperature:0.tC",
        "time": "params.ts",
        "time_format": "s",
    },
    # 21.5
    "esphome": {"topic": "{sensor}/sensor/temperature/state", "value": "payload", "time": "arrival"},
    # {"time": "2023-01-05 11:45:35", "model": "Acurite-Tower", "id": 1234, "channel": "A", "temperature_C": 21.5}
    "rtl_433": {
        "topic": "rtl_433/+/events",
        "sensor": "{model}-{id}",
        "value": "temperature_C",
        "time": "time",
        "time_format": "local",
    },
    # 21.5
    "rtl_433-devices": {
        "topic": "rtl_433/+/devices/+/+/{sensor}/temperature_C",
        "value": "payload",
        "time": "arrival",
    },
    # {"end_device_ids": ..., "uplink_message": {"decoded_payload": {"temperature": 21.5}, "received_at": "..."}}
    "ttn": {
        "topic": "v3/+/devices/{sensor}/up",
        "value": "uplink_message.decoded_payload.temperature",
        "time": "uplink_message.received_at",
        "time_format": "rfc3339",
    },
    # value=37
    "tesensor": {"topic": "/data/from/tesensor{sensor}", "value": "payload:value", "time": "arrival"},
}
