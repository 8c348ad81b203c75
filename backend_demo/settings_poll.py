"""The setting `poll`: devices and services that are asked for their readings by HTTP."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend_demo.domain.mapping import DeviceMapping, MappingInvalid
from backend_demo.domain.names import name_problem
from backend_demo.settings_mapping import zone_of

#: What a mapping takes for the topic, where the sensor is named in the setting, and where the answer names it.
_FIXED, _IN_ANSWER = "{sensor}", "poll"

# printable, without spaces; the first group is user and password
_URL = re.compile(r"(https?://)(?:([^/?#\s@]*)@)?([^/?#\s@]+)([/?#][^\s]*)?", re.ASCII)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class PollSetting(BaseModel):
    """One `[[poll]]` of bdemo.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(repr=False, description="What is asked, with GET; `http://` or `https://`.")
    interval_s: float = Field(60.0, ge=1, le=86_400, description="Seconds from one request to the next.")
    timeout_s: float = Field(5.0, gt=0, le=300, description="Time limit of a request, seconds.")
    headers: dict[str, str] = Field(default_factory=dict, repr=False, description="Headers of the request.")
    sensor: str = Field(
        description="Number or name of the sensor; with paths in braces, such as `{device.id}`, as the answer has it."
    )
    value: str = Field(description="Path of the value in the answer, as in a mapping.")
    time: str = Field("arrival", description="Path of the time, as in a mapping; `arrival`: when the answer came.")
    time_format: str = Field("s", description="As in a mapping.")
    zone: str = Field("", description="As in a mapping.")
    unit: str = Field("C", description="As in a mapping.")

    @model_validator(mode="after")
    def _check(self) -> PollSetting:
        if _URL.fullmatch(self.url) is None:  # the message must not contain the URL, which may hold a password
            raise MappingInvalid("url", "url is not a URL that begins with http:// or https://")
        for name, value in self.headers.items():
            if _HEADER.fullmatch(name) is None or not value.isprintable():
                raise MappingInvalid("headers", f"invalid header {name[:60]!r}")
        if "{" not in self.sensor and (problem := name_problem(self.sensor)):
            raise MappingInvalid("sensor", f"invalid sensor: {problem}")
        self.compiled()
        return self

    @property
    def shown_url(self) -> str:
        """The URL without what may be secret: user, password and query."""
        match = _URL.fullmatch(self.url)
        return "" if match is None else f"{match[1]}{match[3]}{(match[4] or '').partition('?')[0].partition('#')[0]}"

    @property
    def topic(self) -> str:
        """What the mapping takes for the topic of an answer."""
        return _IN_ANSWER if "{" in self.sensor else self.sensor

    def compiled(self) -> DeviceMapping:
        """How an answer becomes a reading. Raises MappingInvalid."""
        in_answer = "{" in self.sensor
        return DeviceMapping(
            topic=_IN_ANSWER if in_answer else _FIXED,
            sensor=self.sensor if in_answer else "",
            value=self.value,
            time=self.time,
            time_format=self.time_format,
            unit=self.unit,
            zone=zone_of(self.zone) if self.zone else None,
        )
