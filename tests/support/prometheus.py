"""Queries to the stack's Prometheus."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from backend_demo.settings import Settings

#: Time after which Prometheus has seen everything that has happened, seconds: it scrapes every 5 s.
SCRAPED_S = 12


@dataclass(frozen=True)
class Series:
    """One series of a result: its labels and its values, oldest first, without their times."""

    labels: dict[str, str]
    values: tuple[float, ...]

    @property
    def numbers(self) -> list[float]:
        """The values that are numbers."""
        return [value for value in self.values if not math.isnan(value)]


class Prometheus:
    """Its HTTP API."""

    def __init__(self, settings: Settings) -> None:
        self._url = f"http://127.0.0.1:{settings.prometheus_port}/api/v1"

    def get(self, path: str, **parameters: str) -> Any:
        """The data of the answer. Raises AssertionError with the message when the request is refused."""
        url = f"{self._url}/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found = json.loads(answer.read())
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise AssertionError(f"{parameters}: {refusal.read().decode()}") from None
        assert found["status"] == "success", found
        assert not found.get("warnings"), found
        return found["data"]

    def query(self, expression: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series, now or at a time (epoch seconds)."""
        moment = {} if at is None else {"time": str(at)}
        found = self.get("query", query=expression, **moment)["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    def value(self, expression: str, at: float | None = None) -> float:
        """Sum over all series of the result; 0 without any."""
        return sum(value for _, value in self.query(expression, at))

    def range(self, expression: str, begin: float, end: float, step_s: float = 5) -> list[Series]:
        """Each series from one time to another (epoch seconds)."""
        found = self.get("query_range", query=expression, start=str(begin), end=str(end), step=str(step_s))["result"]
        return [Series(one["metric"], tuple(float(value) for _, value in one["values"])) for one in found]

    def label_values(self, selector: str, label: str) -> list[str]:
        """The values that the label has in these series."""
        found: list[str] = self.get(f"label/{label}/values", **{"match[]": selector})
        return found

    def targets(self) -> dict[tuple[str, str, str], str]:
        """Health by job, service and instance."""
        found = self.get("targets", state="active")["activeTargets"]
        return {
            (labels["job"], labels["service"], labels["instance"]): target["health"]
            for target in found
            for labels in [target["labels"]]
        }
