"""The setting for how long readings are kept."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings

from backend_demo.text import seconds_of

DAY_S = 86_400.0
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def _days(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if _NUMBER.fullmatch(value.strip()):
        return float(value)
    seconds = seconds_of(value.strip())
    if seconds is None:
        raise ValueError(f"invalid duration {value[:60]!r}: write 90d or 52w")
    return seconds


def _at_least_a_day(value: float) -> float:
    if 0 < value < DAY_S:
        raise ValueError("readings are kept for at least 1d; 0 keeps them for ever")
    return value


class RetentionSettings(BaseSettings):
    """Part of `Settings`."""

    retention: Annotated[float, BeforeValidator(_days), AfterValidator(_at_least_a_day)] = Field(
        0.0,
        ge=0,
        le=36_525 * DAY_S,
        allow_inf_nan=False,
        description="How long readings and averages are kept, such as `90d` or `52w`, at least a day; hourly summaries "
        "are kept for ever. Older readings that arrive are refused. 0: nothing is ever deleted.",
    )
