"""What the dashboard of `poll` shows: requests and their outcomes."""

from __future__ import annotations

from dataclasses import replace

from backend_demo import metrics
from backend_demo.dashboards import common, panel
from backend_demo.dashboards.panel import Panel, PanelRow, Query, more_is_worse
from backend_demo.dashboards.promql import Of, per_minute


def glance(of: Of) -> tuple[Panel, ...]:
    asked = Panel(
        "stat", "Requests", panel.A_MINUTE, (Query(per_minute(of(metrics.polls)), "requests"),), "Requests to devices."
    )
    return asked, _outcome(of, "read", "Answers that were readings."), _failed(of), common.refused(of)


def rows(of: Of) -> tuple[PanelRow, ...]:
    outcomes = Panel(
        "bars",
        "Requests a minute, by outcome",
        panel.A_MINUTE,
        (Query(per_minute(of(metrics.polls), "outcome"), "{{outcome}}"),),
        "read: a reading; refused: an answer without a reading, kept as a dead letter; failed: no readable answer.",
        stacked=True,
    )
    return (PanelRow((outcomes, common.dead_letters(of, "reason")), heading="What do devices answer?"),)


def _outcome(of: Of, outcome: str, description: str) -> Panel:
    query = Query(per_minute(of(metrics.polls, outcome=outcome)), outcome)
    return Panel("stat", outcome.capitalize(), panel.A_MINUTE, (query,), description)


def _failed(of: Of) -> Panel:
    return replace(
        _outcome(of, "failed", "Requests without an answer that can be read."), thresholds=more_is_worse(0.5, 60)
    )
