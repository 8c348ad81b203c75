"""The tables of `bdemo bench`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backend_demo.cli.bench.result import (
    BenchResult,
    DrainFigures,
    LatencyFigures,
    MqttFigures,
    PipelineFigures,
    ServiceCost,
)
from backend_demo.cli.render import Table, View


def view(result: BenchResult) -> View:
    """What people see of the figures."""
    if result.drain:
        yield _drain(result.drain)
        if result.drain.ratio is not None:
            yield f"{result.drain.ratio:g} times stock Faust\n"
    if result.mqtt:
        yield _mqtt(result.mqtt)
    if result.latency:
        yield _latency(result.latency)
    yield _costs(result.services)


def _drain(found: DrainFigures) -> Table:
    rows = [_pipeline("bdemo", found)]
    if found.against:
        rows.append(_pipeline("stock Faust", found.against))
    return Table(
        ("pipeline", "readings>", "readings/s>", "slowest, fastest>", "CPU us/reading>", "others' cores>"),
        rows,
        title=f"Drain: sensor-data to both tables, {found.sensors:,} sensors{_difficulties(found)}, every row exact",
    )


def _difficulties(found: DrainFigures) -> str:
    texts = (
        f"{found.late:g} late" if found.late else "",
        f"{found.refused:g} refused" if found.refused else "",
        "one sends half" if found.skew else "",
    )
    return "".join(f", {text}" for text in texts if text)


def _pipeline(name: str, found: PipelineFigures) -> tuple[str, ...]:
    return (
        name,
        f"{found.readings:,}",
        f"{found.readings_per_s:,.0f}",
        _range(found.runs),
        f"{found.cpu_us_per_reading:.1f}",
        f"{found.others_cores:.2f}",
    )


def _mqtt(found: MqttFigures) -> Table:
    return Table(
        ("readings/message>", "readings>", "readings/s>", "slowest, fastest>", "published/s>", "CPU us/reading>"),
        [
            (
                found.batch,
                f"{found.readings:,}",
                f"{found.readings_per_s:,.0f}",
                _range(found.runs),
                f"{found.published_per_s:,.0f}",
                f"{found.cpu_us_per_reading:.1f}",
            )
        ],
        title="MQTT, QoS 1: first publish to last committed row, every row exact",
    )


def _latency(rates: Sequence[LatencyFigures]) -> Table:
    return Table(
        ("readings/s>", "table", "p50 ms>", "p99 ms>", "max ms>", "cores, four services>", "producer late ms>"),
        [row for found in rates for row in _rate(found)],
        title="Latency: Kafka to committed row, every row exact",
    )


def _rate(found: LatencyFigures) -> Iterator[tuple[str, ...]]:
    for table, spread in (("temperature", found.temperature), ("average", found.average)):
        times = (f"{spread.p50_ms:.1f}", f"{spread.p99_ms:.1f}", f"{spread.max_ms:.1f}")
        if table == "temperature":
            yield f"{found.per_second:g}", table, *times, f"{found.cores:.2f}", f"{found.producer_late_ms:.1f}"
        else:
            yield "", table, *times, "", ""


def _costs(services: Sequence[ServiceCost]) -> Table:
    rows, part = [], ""
    for cost in services:
        figures = (f"{cost.cpu_s_per_1000:.4f}", f"{cost.cores:.2f}", f"{cost.peak_rss_mb:.0f} MB")
        rows.append(("" if cost.part == part else cost.part, cost.service, *figures))
        part = cost.part
    return Table(
        ("", "service", "CPU s per 1,000 readings>", "cores>", "peak memory>"), rows, title="CPU time and memory"
    )


def _range(rates: Sequence[float]) -> str:
    return f"{min(rates):,.0f}, {max(rates):,.0f}" if len(rates) > 1 else ""
