"""What a bench found: of each part the run in the middle, whose figures belong together. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from backend_demo.operations.bench.figures import Cost, Spread, median_run

if TYPE_CHECKING:
    from backend_demo.cli.bench.run import BenchReport
    from backend_demo.operations.bench.drain import DrainRun
    from backend_demo.operations.bench.latency import LatencyRun
    from backend_demo.operations.bench.mqtt import MqttRun


@dataclass(frozen=True, kw_only=True)
class PipelineFigures:
    """A drain of one pipeline."""

    readings: int
    """Stored in both tables; refused ones come on top."""
    seconds: float
    readings_per_s: float
    first_row_s: float
    frozen_s: float
    """How long the services stood still before."""
    others_cores: float
    """Cores that everything else on the machine used."""
    cpu_us_per_reading: float
    """CPU time of all stages together."""
    runs: tuple[float, ...]
    """Readings per second of each run."""


@dataclass(frozen=True, kw_only=True)
class StockFigures(PipelineFigures):
    """A drain of the pipeline on stock Faust."""

    pipeline: Literal["stock"] = "stock"


@dataclass(frozen=True, kw_only=True)
class DrainFigures(PipelineFigures):
    """A drain, with its load."""

    sent: int
    sensors: int
    late: float
    refused: float
    skew: bool
    ratio: float | None
    """How many times as fast as stock Faust, by the medians."""
    against: StockFigures | None


@dataclass(frozen=True, kw_only=True)
class MqttFigures:
    """Readings from the first publish to the last committed row."""

    batch: int
    """Readings in a message."""
    readings: int
    readings_per_s: float
    published_per_s: float
    """What the simulator alone reached; the rest waits in the broker."""
    others_cores: float
    cpu_us_per_reading: float
    """CPU time of the MQTT proxy and the stages."""
    runs: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class LatencyFigures:
    """How long readings took from Kafka to their committed rows, at one rate."""

    per_second: float
    readings: int
    temperature: Spread
    average: Spread
    cores: float
    """Cores that all stages used together."""
    producer_late_ms: float
    """How far the producer fell behind its own clock, at most."""
    others_cores: float


@dataclass(frozen=True, kw_only=True)
class ServiceCost(Cost):
    """What one service took in one part."""

    part: str


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """All figures; null or empty: not measured. Each is of a run in which every row and every average was right."""

    schema: Literal["bdemo.bench/1"] = "bdemo.bench/1"
    exact: Literal[True] = True
    """Otherwise there would be no result."""
    cpus: int | None
    stack: Literal["running", "temporary"]
    repeat: int
    drain: DrainFigures | None
    mqtt: MqttFigures | None
    latency: tuple[LatencyFigures, ...]
    services: tuple[ServiceCost, ...]


def result(report: BenchReport, cpus: int | None) -> BenchResult:
    """The figures of all runs."""
    return BenchResult(
        cpus=cpus,
        stack="running" if report.plan.running else "temporary",
        repeat=report.plan.repeat,
        drain=_drain(report) if report.drains else None,
        mqtt=_mqtt(report.mqtts) if report.mqtts else None,
        latency=tuple(_latency(_middle_latency(runs)) for runs in report.latencies.values()),
        services=_costs(report),
    )


def _drain(report: BenchReport) -> DrainFigures:
    load = report.plan.load
    return DrainFigures(
        **_figures(_middle_drain(report.drains)),
        runs=_rates(report.drains),
        sent=load.readings,
        sensors=load.sensors,
        late=load.late,
        refused=load.refused,
        skew=load.skew,
        ratio=_ratio(report),
        against=_stock(report.stock_drains) if report.stock_drains else None,
    )


def _stock(runs: Sequence[DrainRun]) -> StockFigures:
    return StockFigures(**_figures(_middle_drain(runs)), runs=_rates(runs))


def _mqtt(runs: Sequence[MqttRun]) -> MqttFigures:
    return MqttFigures(**_figures(_middle_mqtt(runs)), runs=_rates(runs))


def _latency(run: LatencyRun) -> LatencyFigures:
    return LatencyFigures(**_fields(run))


def _figures(run: DrainRun | MqttRun) -> dict[str, Any]:
    return {**_fields(run), "cpu_us_per_reading": run.cpu_us_per_reading}


def _fields(run: DrainRun | MqttRun | LatencyRun) -> dict[str, Any]:
    """The run's own figures; what its services took stands elsewhere."""
    return {field.name: getattr(run, field.name) for field in fields(run) if field.name != "costs"}


def _rates(runs: Sequence[DrainRun] | Sequence[MqttRun]) -> tuple[float, ...]:
    return tuple(run.readings_per_s for run in runs)


def _ratio(report: BenchReport) -> float | None:
    if not report.stock_drains:
        return None
    return round(statistics.median(_rates(report.drains)) / statistics.median(_rates(report.stock_drains)), 2)


def _costs(report: BenchReport) -> tuple[ServiceCost, ...]:
    """What each part's middle run took, by part."""
    found: list[tuple[str, tuple[Cost, ...]]] = []
    if report.drains:
        found.append(("drain", _middle_drain(report.drains).costs))
    if report.stock_drains:
        found.append(("drain, stock", _middle_drain(report.stock_drains).costs))
    if report.mqtts:
        found.append(("mqtt", _middle_mqtt(report.mqtts).costs))
    found += [(f"latency {rate:g}/s", _middle_latency(runs).costs) for rate, runs in report.latencies.items()]
    return tuple(ServiceCost(**asdict(cost), part=part) for part, costs in found for cost in costs)


def _middle_drain(runs: Sequence[DrainRun]) -> DrainRun:
    return median_run(runs, lambda run: run.readings_per_s)


def _middle_mqtt(runs: Sequence[MqttRun]) -> MqttRun:
    return median_run(runs, lambda run: run.readings_per_s)


def _middle_latency(runs: Sequence[LatencyRun]) -> LatencyRun:
    return median_run(runs, lambda run: run.average.p99_ms)
