"""Asks the stack's Prometheus."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

SCRAPE_S = 5
"""How often it asks the services."""


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels and its values, oldest first, without the times."""

    labels: dict[str, str]
    values: tuple[float, ...]

    @property
    def value(self) -> float:
        """The last one."""
        return self.values[-1]

    @property
    def numbers(self) -> tuple[float, ...]:
        """The values without NaN."""
        return tuple(value for value in self.values if not math.isnan(value))


class Prometheus:
    """Its HTTP API. What it refuses is an AssertionError with its words."""

    def __init__(self, url: str) -> None:
        self._url = url

    def instant(self, query: str, at: float | None = None) -> list[Series]:
        """The query's answer at a moment, epoch seconds; None: now."""
        found = self._get("query", query=query, **({} if at is None else {"time": at}))
        assert found["resultType"] == "vector", query
        return [Series(one["metric"], (float(one["value"][1]),)) for one in found["result"]]

    def range(self, query: str, begin: float, end: float, step_s: float = SCRAPE_S) -> list[Series]:
        """The query's answers from one moment to another."""
        found = self._get("query_range", query=query, start=begin, end=end, step=step_s)
        return [Series(one["metric"], tuple(float(value) for _, value in one["values"])) for one in found["result"]]

    def label_values(self, label: str, selector: str) -> list[str]:
        """The values that the label has in these series."""
        found: list[str] = self._get(f"label/{label}/values", **{"match[]": selector})
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that fire or are about to."""
        found: list[dict[str, Any]] = self._get("alerts")["alerts"]
        return found

    def _get(self, path: str, **parameters: Any) -> Any:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as problem:
            with problem:
                raise AssertionError(f"{parameters}: {json.load(problem)['error']}") from None
