"""Panels that several dashboards share, each for the series that `of` selects."""

from __future__ import annotations

from prometheus_client.metrics import MetricWrapperBase

from backend_demo import metrics
from backend_demo.dashboards import panel
from backend_demo.dashboards.panel import BAD, GOOD, Panel, Query, heatmap, less_is_worse, more_is_worse, quantiles
from backend_demo.dashboards.promql import (
    CPU_SECONDS,
    OPEN_FILES,
    RESIDENT_BYTES,
    UP,
    Of,
    highest,
    per_minute,
    quantile,
    rate,
    restarts,
    total,
)

#: The objective is a second (docs/how-to/alerts.md); ten of them, and something is broken.
LATENCY_LIMITS = more_is_worse(1, 10)

#: The alert on lag fires at 30 s.
LAG_LIMITS = more_is_worse(5, 30)


# -- at a glance


def copies_ready(of: Of) -> Panel:
    ready = f"{total(of(metrics.service_ready))} / count({of(UP)})"
    return Panel(
        "stat",
        "Copies ready",
        panel.SHARE,
        (Query(ready, "ready"),),
        "Share of the wanted copies that are ready.",
        thresholds=less_is_worse(0.5, 1),
        decimals=0,
    )


def restarted(of: Of) -> Panel:
    return Panel(
        "stat",
        "Restarts, last hour",
        panel.COUNT,
        (Query(restarts(of), "restarts"),),
        "How often processes restarted within the last hour.",
        thresholds=more_is_worse(1, 4),
        decimals=0,
    )


def done(of: Of, unit: str = panel.RECORDS) -> Panel:
    return Panel(
        "stat",
        "Done",
        unit,
        (Query(rate(of(metrics.records)), "done"),),
        "Input records per second whose outcome became durable.",
    )


def per_record(of: Of) -> Panel:
    return Panel(
        "stat",
        "Per record, p99",
        panel.SECONDS,
        (Query(quantile(0.99, of, metrics.hop_seconds), "p99"),),
        "From a record's arrival until its outcome is durable: 99 % took less.",
        thresholds=LATENCY_LIMITS,
        when_empty="idle",
    )


def end_to_end(of: Of) -> Panel:
    return Panel(
        "stat",
        "End to end, p99",
        panel.SECONDS,
        (Query(quantile(0.99, of, metrics.end_to_end, table="temperature"), "p99"),),
        "From a sensor's time to its committed row: 99 % of readings took less.",
        thresholds=LATENCY_LIMITS,
        when_empty="idle",
    )


def stored(of: Of) -> Panel:
    return Panel(
        "stat",
        "Readings stored",
        panel.ROWS,
        (Query(rate(of(metrics.values_loaded)), "rows"),),
        "New rows of readings per second: the output of the pipeline.",
    )


def oldest_waiting(of: Of) -> Panel:
    return Panel(
        "stat",
        "Oldest waiting",
        panel.SECONDS,
        (Query(highest(of(metrics.lag_seconds)), "lag"),),
        "How long the oldest unprocessed record has waited, over all topics and partitions.",
        thresholds=LAG_LIMITS,
        decimals=1,
    )


def refused(of: Of) -> Panel:
    return Panel(
        "stat",
        "Dead letters",
        panel.A_MINUTE,
        (Query(per_minute(of(metrics.dead_letters)), "dead letters"),),
        "Records refused in the last minute.",
        thresholds=more_is_worse(0.5, 60),
        decimals=0,
    )


# -- what is moved, and how fast


def counted(of: Of, unit: str, title: str, description: str, **counters: MetricWrapperBase) -> Panel:
    """Draws one line per counter, named as its keyword: per second, or per minute if the unit says so."""
    each = per_minute if unit == panel.A_MINUTE else rate
    queries = tuple(Query(each(of(metric)), legend.replace("_", " ")) for legend, metric in counters.items())
    return Panel("lines", title, unit, queries, description)


def dead_letters(of: Of, *by: str) -> Panel:
    letters = f"{per_minute(of(metrics.dead_letters), *by)} > 0"
    return Panel(
        "bars",
        "Dead letters a minute",
        panel.A_MINUTE,
        (Query(letters, ": ".join(f"{{{{{label}}}}}" for label in by)),),
        "What was refused and why. All of it is kept: bdemo dlq ls",
        stacked=True,
        when_empty="no dead letters",
    )


def done_by_copy(of: Of, unit: str = panel.RECORDS) -> Panel:
    return Panel(
        "lines",
        "Done, by copy",
        unit,
        (Query(rate(of(metrics.records), "instance", "topic"), "{{instance}} {{topic}}"),),
        "Records processed by each copy. Copies share the partitions, so the lines should be close together.",
    )


def hop_quantiles(of: Of) -> Panel:
    return quantiles(
        "Seconds per record: quantiles",
        "From a record's arrival until its outcome is durable: 50 %, 95 % and 99 % took less.",
        of,
        metrics.hop_seconds,
    )


def hop_heatmap(of: Of) -> Panel:
    return heatmap(
        "Seconds per record: all",
        "The same for every record: the darker, the more records took that long.",
        of,
        metrics.hop_seconds,
    )


def batch_quantiles(of: Of) -> Panel:
    return quantiles(
        "Seconds per batch",
        "From a batch's arrival until the service is ready for the next one.",
        of,
        metrics.batch_seconds,
    )


def batches(of: Of) -> Panel:
    return Panel(
        "lines",
        "Batches a second, by copy",
        panel.OPERATIONS,
        (Query(rate(of(metrics.batches), "instance"), "{{instance}}"),),
        "Each batch is all that one poll returned.",
    )


def batch_size(of: Of) -> Panel:
    return Panel(
        "lines",
        "Records per batch, by copy",
        panel.COUNT,
        (
            Query(
                f"{rate(of(metrics.records), 'instance')} / {rate(of(metrics.batches), 'instance')}",
                "{{instance}}",
            ),
        ),
        "The mean. It grows with the load: that is how the service keeps up.",
    )


# -- lag


def lag_records(of: Of, *by: str) -> Panel:
    # while a partition moves from one copy to another, both may name it
    partitions = highest(of(metrics.lag_records), "service", "topic", "partition")
    return Panel(
        "lines",
        "Lag: records not done",
        panel.COUNT,
        (Query(total(partitions, *by), " ".join(f"{{{{{label}}}}}" for label in by)),),
        "Input records that are not processed yet. A few are normal; a rising line is not.",
    )


def lag_seconds(of: Of, *by: str) -> Panel:
    return Panel(
        "lines",
        "Lag: age of the oldest record",
        panel.SECONDS,
        (Query(highest(of(metrics.lag_seconds), *by), " ".join(f"{{{{{label}}}}}" for label in by)),),
        "How long the oldest unprocessed record has waited.",
        thresholds=LAG_LIMITS,
    )


# -- processes


def resources(of: Of, by: str) -> tuple[Panel, ...]:
    """Returns the panels of what the processes use, by service or by instance."""
    legend = f"{{{{{by}}}}}"
    return (
        Panel(
            "lines",
            "CPU",
            panel.SHARE,
            (Query(rate(of(CPU_SECONDS), by), legend),),
            "CPU time of the processes; 100 % is one core.",
        ),
        Panel(
            "lines",
            "Memory",
            panel.BYTES,
            (Query(total(of(RESIDENT_BYTES), by), legend),),
            "Resident memory of the processes. It is flat once a service is warm.",
        ),
        Panel(
            "lines",
            "Open files",
            panel.COUNT,
            (Query(total(of(OPEN_FILES), by), legend),),
            "Files and connections that the processes hold open. A line that only rises points to a leak.",
        ),
        Panel(
            "lines",
            "Restarts, last hour",
            panel.COUNT,
            (Query(restarts(of, by), legend),),
            "How often processes restarted within the last hour.",
            decimals=0,
        ),
    )


def ready(of: Of) -> Panel:
    return Panel(
        "states",
        "Ready",
        panel.NONE,
        (Query(highest(of(metrics.service_ready), "instance"), "{{instance}}"),),
        "When each copy was ready: its servers answered and its partitions were assigned.",
        thresholds=((None, BAD), (1, GOOD)),
        states={"0": ("not ready", BAD), "1": ("ready", GOOD)},
    )


def versions(of: Of) -> Panel:
    return Panel(
        "table",
        "What runs",
        panel.NONE,
        (Query(total(of(metrics.build_info), "service", "instance", "version", "python"), ""),),
        "The versions of backend_demo and Python of each copy.",
    )
