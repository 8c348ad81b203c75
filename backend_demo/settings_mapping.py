"""The setting `mapping`: how the devices' own topics and payloads become readings."""

from __future__ import annotations

import tomllib
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from backend_demo.domain.mapping import DeviceMapping, MappingInvalid, with_preset
from backend_demo.domain.presets import PRESETS
from backend_demo.errors import ConfigurationInvalid


class MappingSetting(BaseModel):
    """One `[[mapping]]` of bdemo.toml. An empty field has the value of the preset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str = Field("", description="Name of a ready-made mapping, whose fields the others override.")
    topic: str = Field("", description="MQTT topic; `{sensor}` is a level or a part of it, `+` and `#` match others.")
    sensor: str = Field(
        "", description="Name of the sensor, where the topic does not have it: paths in braces, such as `{model}-{id}`."
    )
    value: str = Field(
        "",
        description="Path of the value in the JSON payload, such as `SI7021.Temperature`; `payload`: the payload is "
        "the value; `payload:key`: the payload has the form `key=value`.",
    )
    time: str = Field("", description="Path of the time, as for `value`; `arrival`: when the message arrived.")
    time_format: str = Field("", description="`s`, `ms`, `us` (since 1970), `rfc3339` or `local`; empty: `s`.")
    zone: str = Field("", description="Time zone of `local` times, such as `Europe/Berlin`.")
    unit: str = Field("", description="`C`, `F` or `K`; empty: `C`.")

    @model_validator(mode="after")
    def _check(self) -> MappingSetting:
        self.compiled()
        return self

    def compiled(self) -> DeviceMapping:
        """The mapping that it describes. Raises MappingInvalid."""
        given = {field: text for field, text in self.model_dump().items() if text}
        fields = with_preset(given, PRESETS)
        zone = fields.pop("zone", "")
        return DeviceMapping(**fields, zone=zone_of(zone) if zone else None)


class _MappingFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    mapping: list[MappingSetting] = Field(min_length=1)


def read_mappings(path: Path) -> list[DeviceMapping]:
    """The mappings of a file that is written as in bdemo.toml. Raises ConfigurationInvalid."""
    hint = "write [[mapping]] with topic, value and time, as in bdemo.toml"
    try:
        found = _MappingFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigurationInvalid(f"cannot read {path}: {getattr(problem, 'strerror', None) or problem}") from problem
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationInvalid(f"{path} is not TOML: {problem}", hint=hint) from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        place, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise ConfigurationInvalid(f"{path}: {place}: {said}", hint=hint) from problem
    return [mapping.compiled() for mapping in found.mapping]


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name. Raises MappingInvalid."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as problem:  # LookupError: ZoneInfoNotFoundError
        raise MappingInvalid("zone", f"unknown time zone {name!r}, expected for example 'Europe/Berlin'") from problem
