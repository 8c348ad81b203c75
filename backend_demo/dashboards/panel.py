"""Dashboards as plain values: rows of panels with their queries. `render` turns them into Grafana's model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from prometheus_client.metrics import MetricWrapperBase

from backend_demo.dashboards.promql import Of, buckets, quantile

Kind = Literal["lines", "bars", "stat", "heatmap", "states", "table"]

COLUMNS = 24
"""Width of Grafana's grid."""

GOOD, WARNING, BAD = "green", "orange", "red"

#: The lowest value of each colour; None: no lower bound.
Thresholds = tuple[tuple[float | None, str], ...]


def more_is_worse(warning: float, bad: float) -> Thresholds:
    return ((None, GOOD), (warning, WARNING), (bad, BAD))


def less_is_worse(bad: float, warning: float) -> Thresholds:
    return ((None, BAD), (bad, WARNING), (warning, GOOD))


#: Grafana's names of units. Readings and records are its `rec/s`; 100 % of CPU is one core.
SECONDS, BYTES, COUNT, NONE, SHARE = "s", "bytes", "short", "none", "percentunit"
RECORDS, MESSAGES, ROWS, REQUESTS, OPERATIONS = "recps", "mps", "rowsps", "reqps", "ops"
A_MINUTE, REQUESTS_A_MINUTE = "recpm", "reqpm"


@dataclass(frozen=True)
class Query:
    """One query of a panel, and the legend of its series."""

    expression: str
    legend: str
    color: str = ""
    """Fixed colour of a series that means the same on every panel; empty: Grafana chooses."""


@dataclass(frozen=True)
class Panel:
    """One panel. Its description says in plain words what it shows and what would be wrong."""

    kind: Kind
    title: str
    unit: str
    queries: tuple[Query, ...]
    description: str
    width: int = 0
    """Width in columns; 0: an equal share of the rest of its row."""
    thresholds: Thresholds = ()
    stacked: bool = False
    decimals: int | None = None
    when_empty: str = ""
    """Text shown when there is no value."""
    opens: str = ""
    """Uid of the dashboard that shows the details."""
    states: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Text and colour by value, for values that are codes."""

    def wide(self, width: int) -> Panel:
        return replace(self, width=width)


@dataclass(frozen=True)
class PanelRow:
    """Panels side by side, of the same height."""

    panels: tuple[Panel, ...]
    height: int = 8
    heading: str = ""
    """Heading above the row; it folds away this row and the next ones."""

    def widths(self) -> list[int]:
        """Returns the widths of the panels, which together fill the grid. Raises ValueError when they cannot."""
        left = COLUMNS - sum(panel.width for panel in self.panels)
        shared = [panel for panel in self.panels if not panel.width]
        if left < 0 or (left % len(shared) if shared else left):
            raise ValueError(f"the row of {self.panels[0].title!r} does not fill the grid")
        return [panel.width or left // len(shared) for panel in self.panels]


@dataclass(frozen=True)
class Dashboard:
    """One dashboard and the name of its file."""

    file: str
    uid: str
    title: str
    description: str
    rows: tuple[PanelRow, ...]
    service: str = ""
    """Service whose instances can be chosen; empty: no choice."""


# -- kinds of panels


def quantiles(
    title: str,
    description: str,
    of: Of,
    histogram: MetricWrapperBase,
    unit: str = SECONDS,
    thresholds: Thresholds = (),
    **labels: str,
) -> Panel:
    """Draws the median, the 95th and the 99th percentile of a histogram."""
    fractions = ((0.5, "p50", "green"), (0.95, "p95", "yellow"), (0.99, "p99", "red"))
    queries = tuple(
        Query(quantile(fraction, of, histogram, **labels), legend, color) for fraction, legend, color in fractions
    )
    return Panel("lines", title, unit, queries, description, thresholds=thresholds)


def heatmap(
    title: str, description: str, of: Of, histogram: MetricWrapperBase, unit: str = SECONDS, **labels: str
) -> Panel:
    """Draws the number of observations in each bucket, darker for more."""
    return Panel("heatmap", title, unit, (Query(buckets(of, histogram, **labels), "{{le}}"),), description)
