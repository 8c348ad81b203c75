"""What a dashboard is, as plain values: rows of panels with their queries. `render` makes Grafana's form of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from prometheus_client.metrics import MetricWrapperBase

from backend_demo.dashboards.promql import Of, buckets, quantile

Kind = Literal["lines", "bars", "stat", "heatmap", "states", "table"]

COLUMNS = 24
"""Grafana's grid."""

GOOD, WARNING, BAD = "green", "orange", "red"

#: Values from which on a colour holds; None: from the beginning.
Thresholds = tuple[tuple[float | None, str], ...]


def more_is_worse(warning: float, bad: float) -> Thresholds:
    return ((None, GOOD), (warning, WARNING), (bad, BAD))


def less_is_worse(bad: float, warning: float) -> Thresholds:
    return ((None, BAD), (bad, WARNING), (warning, GOOD))


#: Grafana's units. Readings and records are its `rec/s`; of CPU, 100 % is one core.
SECONDS, BYTES, COUNT, NONE, SHARE = "s", "bytes", "short", "none", "percentunit"
RECORDS, MESSAGES, ROWS, REQUESTS, OPERATIONS = "recps", "mps", "rowsps", "reqps", "ops"
A_MINUTE, REQUESTS_A_MINUTE = "recpm", "reqpm"


@dataclass(frozen=True)
class Query:
    """One query of a panel, and what its series are called."""

    expression: str
    legend: str
    color: str = ""
    """A colour that means something on every panel; empty: Grafana chooses."""


@dataclass(frozen=True)
class Panel:
    """One panel. Its description says in plain words what is seen, and what would be wrong."""

    kind: Kind
    title: str
    unit: str
    queries: tuple[Query, ...]
    description: str
    width: int = 0
    """In columns; 0: an equal share of what its row has left."""
    thresholds: Thresholds = ()
    stacked: bool = False
    decimals: int | None = None
    when_empty: str = ""
    """What is shown where there is no value."""
    opens: str = ""
    """The uid of the dashboard that shows more."""
    states: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Text and colour of values that stand for something."""

    def wide(self, width: int) -> Panel:
        return replace(self, width=width)


@dataclass(frozen=True)
class Row:
    """Panels side by side, all of one height."""

    panels: tuple[Panel, ...]
    height: int = 8
    heading: str = ""
    """A line above it, with which it and what follows can be folded away."""

    def widths(self) -> list[int]:
        """Of its panels; together they fill the grid. Raises ValueError when they cannot."""
        left = COLUMNS - sum(panel.width for panel in self.panels)
        shared = [panel for panel in self.panels if not panel.width]
        if left < 0 or (left % len(shared) if shared else left):
            raise ValueError(f"the row of {self.panels[0].title!r} does not fill the grid")
        return [panel.width or left // len(shared) for panel in self.panels]


@dataclass(frozen=True)
class Dashboard:
    """One dashboard, and the file it stands in."""

    file: str
    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    service: str = ""
    """The service whose instances can be chosen; empty: no choice."""


# -- panels that stand in several places


def quantiles(
    title: str,
    description: str,
    of: Of,
    histogram: MetricWrapperBase,
    unit: str = SECONDS,
    thresholds: Thresholds = (),
    **labels: str,
) -> Panel:
    """Half of all, nearly all and all but one in a hundred were below these lines."""
    fractions = ((0.5, "p50", "green"), (0.95, "p95", "yellow"), (0.99, "p99", "red"))
    queries = tuple(
        Query(quantile(fraction, of, histogram, **labels), legend, color) for fraction, legend, color in fractions
    )
    return Panel("lines", title, unit, queries, description, thresholds=thresholds)


def heatmap(
    title: str, description: str, of: Of, histogram: MetricWrapperBase, unit: str = SECONDS, **labels: str
) -> Panel:
    """How many observations fell into which bucket, darker for more."""
    return Panel("heatmap", title, unit, (Query(buckets(of, histogram, **labels), "{{le}}"),), description)
