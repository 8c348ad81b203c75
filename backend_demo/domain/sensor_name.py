"""A record of the topic `sensor-names`."""

from __future__ import annotations

import msgspec


class SensorName(msgspec.Struct, frozen=True):
    """A name, and the number that stands for it."""

    sensor: int
    name: str


encode_name = msgspec.json.Encoder().encode
decode_name = msgspec.json.Decoder(SensorName).decode
