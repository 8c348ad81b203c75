"""What a bench has found, as tables and as JSON."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from backend_demo.cli.output import show_table
from backend_demo.operations.bench.figures import median_run

if TYPE_CHECKING:
    from backend_demo.cli.bench_run import Report
    from backend_demo.operations.bench.drain import Drain
    from backend_demo.operations.bench.figures import Cost
    from backend_demo.operations.bench.latency import Latency
    from backend_demo.operations.bench.mqtt import Mqtt

SCHEMA = "bdemo.bench/1"


def as_json(report: Report) -> dict[str, Any]:
    """The report as one document. What was not measured is null, or empty."""
    plan = report.plan
    return {
        "schema": SCHEMA,
        "exact": True,  # else there would be no report
        "cpus": os.cpu_count(),
        "stack": "running" if plan.running else "temporary",
        "repeat": plan.repeat,
        "drain": _drain_as_json(report) if report.drains else None,
        "mqtt": _mqtt_as_json(report.mqtts) if report.mqtts else None,
        "latency": [_latency_as_json(_middle_latency(runs)) for runs in report.latencies.values()],
        "services": [
            {"part": part, **asdict(cost)} for part, costs in _costs(report) for cost in costs
        ],
    }  # fmt: skip


def _drain_as_json(report: Report) -> dict[str, Any]:
    load, run = report.plan.load, _middle_drain(report.drains)
    against = None
    if report.stock_drains:
        stock = _middle_drain(report.stock_drains)
        against = {"pipeline": "stock", **_without_costs(stock), **_rates(report.stock_drains)}
    return {
        **_without_costs(run),
        "sent": load.readings,
        "sensors": load.sensors,
        "late": load.late,
        "refused": load.refused,
        "skew": load.skew,
        **_rates(report.drains),
        "ratio": _ratio(report),
        "against": against,
    }


def _mqtt_as_json(runs: Sequence[Mqtt]) -> dict[str, Any]:
    return {**_without_costs(_middle_mqtt(runs)), "runs": [run.readings_per_s for run in runs]}


def _latency_as_json(run: Latency) -> dict[str, Any]:
    return {name: value for name, value in asdict(run).items() if name != "costs"}


def _without_costs(run: Drain | Mqtt) -> dict[str, Any]:
    figures = {name: value for name, value in asdict(run).items() if name != "costs"}
    return {**figures, "cpu_us_per_reading": run.cpu_us_per_reading}


def _rates(runs: Sequence[Drain]) -> dict[str, list[float]]:
    return {"runs": [run.readings_per_s for run in runs]}


def _ratio(report: Report) -> float | None:
    """How many times as fast as stock Faust, by the medians."""
    if not report.stock_drains:
        return None
    ours, stock = (
        statistics.median(run.readings_per_s for run in runs) for runs in (report.drains, report.stock_drains)
    )
    return round(ours / stock, 2)


def _costs(report: Report) -> list[tuple[str, tuple[Cost, ...]]]:
    """What each part's middle run took, by part."""
    found = []
    if report.drains:
        found.append(("drain", _middle_drain(report.drains).costs))
    if report.stock_drains:
        found.append(("drain, stock", _middle_drain(report.stock_drains).costs))
    if report.mqtts:
        found.append(("mqtt", _middle_mqtt(report.mqtts).costs))
    found += [(f"latency {rate:g}/s", _middle_latency(runs).costs) for rate, runs in report.latencies.items()]
    return found


def _middle_drain(runs: Sequence[Drain]) -> Drain:
    return median_run(runs, lambda run: run.readings_per_s)


def _middle_mqtt(runs: Sequence[Mqtt]) -> Mqtt:
    return median_run(runs, lambda run: run.readings_per_s)


def _middle_latency(runs: Sequence[Latency]) -> Latency:
    return median_run(runs, lambda run: run.average.p99_ms)


def show(report: Report) -> None:
    """Prints the tables. Every figure is of a run in which each row and each average was right."""
    if report.drains:
        _show_drain(report)
    if report.mqtts:
        _show_mqtt(report.mqtts)
    if report.latencies:
        _show_latency(report)
    show_table(
        ("", "service", "CPU s per 1,000 readings>", "cores>", "peak memory>"),
        [
            ("" if number else part, cost.service, f"{cost.cpu_s_per_1000:.4f}", f"{cost.cores:.2f}", _mb(cost))
            for part, costs in _costs(report)
            for number, cost in enumerate(costs)
        ],
        title="What it took",
    )


def _show_drain(report: Report) -> None:
    rows = [_drain_row("bdemo", report.drains)]
    if report.stock_drains:
        rows.append(_drain_row("stock Faust", report.stock_drains))
    load, ratio = report.plan.load, _ratio(report)
    show_table(
        ("pipeline", "readings>", "readings/s>", "slowest, fastest>", "CPU us a reading>", "others' cores>"),
        rows,
        title=f"Drain: sensor-data to both tables, {load.sensors:,} sensors{_faults(report)}, every row exact",
    )
    if ratio is not None:
        print(f"{ratio:g} times stock Faust\n")


def _faults(report: Report) -> str:
    load = report.plan.load
    told = (
        f"{load.late:g} late" if load.late else "",
        f"{load.refused:g} refused" if load.refused else "",
        "one sends half" if load.skew else "",
    )
    return "".join(f", {text}" for text in told if text)


def _drain_row(name: str, runs: Sequence[Drain]) -> tuple[str, ...]:
    run = _middle_drain(runs)
    return (
        name,
        f"{run.readings:,}",
        f"{run.readings_per_s:,.0f}",
        _range([run.readings_per_s for run in runs]),
        f"{run.cpu_us_per_reading:.1f}",
        f"{run.others_cores:.2f}",
    )


def _show_mqtt(runs: Sequence[Mqtt]) -> None:
    run = _middle_mqtt(runs)
    show_table(
        ("readings a message>", "readings>", "readings/s>", "slowest, fastest>", "published/s>", "CPU us a reading>"),
        [
            (
                run.batch,
                f"{run.readings:,}",
                f"{run.readings_per_s:,.0f}",
                _range([each.readings_per_s for each in runs]),
                f"{run.published_per_s:,.0f}",
                f"{run.cpu_us_per_reading:.1f}",
            )
        ],
        title="MQTT, QoS 1: first publish to last committed row, every row exact",
    )


def _show_latency(report: Report) -> None:
    rows = []
    for runs in report.latencies.values():
        run = _middle_latency(runs)
        for number, (table, found) in enumerate((("temperature", run.temperature), ("average", run.average))):
            rate, cores, late = f"{run.per_second:g}", f"{run.cores:.2f}", f"{run.producer_late_ms:.1f}"
            times = (f"{found.p50_ms:.1f}", f"{found.p99_ms:.1f}", f"{found.max_ms:.1f}")
            rows.append(("", table, *times, "", "") if number else (rate, table, *times, cores, late))
    show_table(
        ("readings/s>", "table", "p50 ms>", "p99 ms>", "max ms>", "cores, four services>", "producer late ms>"),
        rows,
        title="Latency: Kafka to committed row, every row exact",
    )


def _range(rates: Sequence[float]) -> str:
    return f"{min(rates):,.0f}, {max(rates):,.0f}" if len(rates) > 1 else ""


def _mb(cost: Cost) -> str:
    return f"{cost.peak_rss_mb:.0f} MB"
