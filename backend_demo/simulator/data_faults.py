"""Faults in the data: which readings suffer which, and what a corrupt one looks like. Pure and seeded."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from backend_demo.errors import UsageError
from backend_demo.simulator.noise import noise

Fault = Literal["drop", "duplicate", "late", "corrupt"]

#: A late reading is sent after up to this many younger ones of its sensor: some come too late for the aggregator's
#: state (window and lateness, 26 readings) and need a repair.
DELAY_MAX = 40

# sets the questions below apart from those of the value models
_WHICH_FAULT, _DELAY, _DAMAGE = -1, -2, -3


@dataclass(frozen=True)
class Faults:
    """Fractions of the readings, 0 to 1; a reading suffers one fault at most. Raises UsageError."""

    drop: float = 0.0
    """Measured, never sent."""
    duplicate: float = 0.0
    """Sent twice."""
    late: float = 0.0
    """Sent after younger ones."""
    corrupt: float = 0.0
    """In its place comes what the pipeline must refuse."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise UsageError(
                    f"invalid {field.name} {getattr(self, field.name)}: not a fraction",
                    hint=f"choose from 0 to 1, for example --{field.name} 0.01",
                )
        if self.drop + self.duplicate + self.late + self.corrupt > 1:
            raise UsageError("the fractions of faulty readings add up to more than 1", hint="choose smaller ones")

    def of(self, seed: int, sensor: int, index: int) -> Fault | None:
        """The fault that the sensor's reading number `index` suffers."""
        share = noise(seed, sensor, index, _WHICH_FAULT)
        if share < (bound := self.drop):
            return "drop"
        if share < (bound := bound + self.duplicate):
            return "duplicate"
        if share < (bound := bound + self.late):
            return "late"
        return "corrupt" if share < bound + self.corrupt else None


def delay(seed: int, sensor: int, index: int) -> int:
    """How many younger readings of its sensor a late one lets pass."""
    return 1 + int(DELAY_MAX * noise(seed, sensor, index, _DELAY))


# what can be wrong with a value or a time in well-formed JSON
_VALUES = (
    *('"25 "', '"1_000"', '"\u0662\u0665"', '"\u00b2"', '""', '"NaN"', '"-Infinity"', '"21 C"', '"21\\u0000"'),
    *("true", "null", "[21.5]", '{"celsius": 21.5}', "1e400", "1000000", "-1000.5"),
)
_TIMES = (
    "null",
    "true",
    '""',
    '"yesterday"',
    '"2026-13-01T00:00:00Z"',
    "-1",
    "1e400",
    "253402300799",
    "{milliseconds}",
)
_OBJECTS = (
    *("null", "true", "21.5", '"21.5"', "{}", "[21.5]"),
    *('{"value": 21.5}', '{"timestamp": {time}}', '{"Value": 21.5, "Timestamp": {time}}'),
    *('{"timestamp": {time}, "value": 21.5, "value": 22.5}', '{"timestamp": {time}, "timestamp": 1, "value": 21.5}'),
)
# what is no JSON at all, or no JSON that a small program survives
_PAYLOADS = (
    b"",
    b"\x00",
    b"{",
    b"[]",
    b'{"timestamp": {time}, "value": 21.',
    b'{"timestamp": {time}, "value": 21.5}}',
    b'{"timestamp": {time}, "value": 21.5} {"timestamp": {time}, "value": 22.5}',
    b'{"timestamp": {time}, "value": NaN}',
    b'{"timestamp": {time}, "value": Infinity}',
    b"{'timestamp': {time}, 'value': 21.5}",
    b'\xef\xbb\xbf{"timestamp": {time}, "value": 21.5}',
    b'{"timestamp": {time}, "value": 21.5, "unit": "\xb0C"}',
    '{"timestamp": {time}, "value": 21.5}'.encode("utf-16"),
    b"[" * 5000,
    b'{"a":' * 1000 + b"1" + b"}" * 1000,
    b'{"timestamp": {time}, "value": ' + b"9" * 5000 + b"}",
    b"timestamp={time}&value=21.5",
)

ITEMS: tuple[bytes, ...] = tuple(
    item.encode()
    for item in (
        *(f'{{"timestamp": {{time}}, "value": {value}}}' for value in _VALUES),
        *(f'{{"timestamp": {time}, "value": 21.5}}' for time in _TIMES),
        *_OBJECTS,
    )
)
"""Corrupt readings that are JSON values, so that their neighbours in an array stay whole."""

PAYLOADS: tuple[bytes, ...] = ITEMS + _PAYLOADS
"""Corrupt messages."""


def corrupt(seed: int, sensor: int, index: int, timestamp: float, *, in_array: bool) -> bytes:
    """Bytes that the pipeline must refuse; the same for the same reading."""
    choices = ITEMS if in_array else PAYLOADS
    chosen = choices[int(len(choices) * noise(seed, sensor, index, _DAMAGE))]
    return chosen.replace(b"{time}", b"%.6f" % timestamp).replace(b"{milliseconds}", b"%d" % (timestamp * 1000))
