"""What the loader counts: records that are gone, rows that are committed and how old they were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog
from prometheus_client import Histogram

from backend_demo import metrics
from backend_demo.domain.fence import Gap
from backend_demo.domain.loading import Key, LoadPlan
from backend_demo.storage.write import Written

log = structlog.get_logger(__name__)


def report(gaps: Iterable[Gap]) -> None:
    """Logs and counts records that were deleted before they were loaded."""
    for gap in gaps:
        topic, partition = gap.partition
        metrics.log_gaps.inc()
        log.error("records are gone", topic=topic, partition=partition, first=gap.first, last=gap.last)


def count(plan: LoadPlan, written: Written, committed_at: float) -> None:
    """Counts what a transaction did. `committed_at`: epoch seconds."""
    averages = sum(len(step.stored) for step in plan.averages)
    metrics.database_rows.observe(len(plan.readings) + averages)
    metrics.values_loaded.inc(written.inserted)
    metrics.averages_loaded.inc(written.averages)
    metrics.repairs.labels("loader").inc(sum(len(step.repairs) for step in plan.averages))
    metrics.conflicts.labels("loader").inc(len({**plan.contested, **written.conflicts}))
    repeated = len(plan.readings) - written.inserted - len(written.conflicts) + plan.duplicates
    metrics.duplicates.labels("loader").inc(repeated)
    _observe((metrics.value_latency, metrics.end_to_end.labels("temperature")), committed_at, plan.readings)
    for step in plan.averages:
        _observe((metrics.average_latency, metrics.end_to_end.labels("average")), committed_at, step.stored)


def _observe(latencies: tuple[Histogram, Histogram], now: float, rows: Mapping[Key, float]) -> None:
    metrics.observe_ages(latencies, now, [timestamp for _, timestamp in rows])
