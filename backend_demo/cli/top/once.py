"""What `bdemo top --once` prints: the overview as one document, and as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from backend_demo.cli.console import Console
from backend_demo.cli.render import Table, View
from backend_demo.cli.top.columns import columns_for
from backend_demo.cli.top.numbers import count, rate, seconds
from backend_demo.operations.observe.view import (
    Counts,
    HopView,
    LatencyQuantiles,
    Overview,
    RefusedCount,
    ServiceView,
)


@dataclass(frozen=True, kw_only=True)
class TopResult:
    """The overview of a stack."""

    schema: Literal["bdemo.top/1"] = "bdemo.top/1"
    stack: str
    """`embedded` or `compose`."""
    healthy: bool
    time: float
    """Epoch seconds."""
    interval_s: float
    """The time that rates and latencies cover."""
    services: tuple[ServiceView, ...]
    hops: tuple[HopView, ...]
    end_to_end: Mapping[str, LatencyQuantiles]
    """From a sensor's time to the committed row, by table."""
    dead_letters: tuple[RefusedCount, ...]
    """Since the services started."""
    dead_letters_total: int | None
    """All dead letters that Kafka has; null: the gateway or Kafka does not answer."""
    counts: Counts


def result(stack: str, overview: Overview) -> TopResult:
    """The overview of a stack of this kind."""
    found = {field.name: getattr(overview, field.name) for field in fields(overview)}
    return TopResult(stack=stack, **found)


def view(found: TopResult) -> View:
    """The tables for people."""
    columns = columns_for(Console().width)
    yield Table(
        [column.title + ("" if column.left else ">") for column in columns],
        [[column.text(service) for column in columns] for service in found.services if service.state != "off"],
    )
    yield Table(
        ["readings at", "count>", "per second>"],
        [(hop.name, count(hop.count), rate(hop.per_s)) for hop in found.hops],
    )
    yield Table(
        ["sensor's time to row of", "p50>", "p95>", "p99>"],
        [
            (table, seconds(latency.p50_s), seconds(latency.p95_s), seconds(latency.p99_s))
            for table, latency in found.end_to_end.items()
        ],
    )
    if found.dead_letters:
        yield Table(
            ["dead letters of", "reason", "since start>", "per second>"],
            [(each.service, each.reason, count(each.count), rate(each.per_s)) for each in found.dead_letters],
        )
    if found.dead_letters_total:
        yield f"{found.dead_letters_total:,} dead letters in all; see: bdemo dlq ls"
