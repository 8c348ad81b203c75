"""The pipeline at one moment, as `bdemo top` shows it and /v1/stats answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backend_demo.described import described


@described
@dataclass(frozen=True)
class LatencyQuantiles:
    """Latencies observed during `interval_s`, seconds; null: there were none."""

    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None


@described
@dataclass(frozen=True)
class Lag:
    """Records that wait, in all partitions together."""

    records: int
    seconds: float
    """How long the oldest one has waited."""


@described
@dataclass(frozen=True)
class ServiceView:
    """A copy of a service, or a server. What is not known is null: most of it for a server, or without an answer."""

    name: str
    state: str
    """A state of the stack, such as `ready`, `rebalancing` or `starting`; `down` if its metrics do not answer."""
    pid: int | None = None
    restarts: int | None = 0
    uptime_s: float | None = None
    rss_bytes: int | None = None
    error: str | None = None
    cpu_cores: float | None = None
    records_per_s: float | None = None
    """For the gateway, requests."""
    lag: Lag | None = None
    latency: LatencyQuantiles = LatencyQuantiles()
    """From a record's arrival in the input topic until its outcome is durable; for the gateway, of a request."""
    dead_letters: int | None = None
    """Since the service started."""
    dead_letters_per_s: float | None = None


@described
@dataclass(frozen=True)
class HopView:
    """A place that readings pass, all copies together."""

    name: str
    count: int | None
    """Since the services started; null: none of them answers."""
    per_s: float | None


@described
@dataclass(frozen=True)
class RefusedCount:
    """Records that a service has refused for one reason since it started."""

    service: str
    reason: str
    count: int
    per_s: float | None


@described
@dataclass(frozen=True)
class Counts:
    """Further counts, all copies together; null: the service that counts does not answer."""

    sensors_active: int | None
    sensors_silent: int | None
    mqtt_in_flight: int | None
    mqtt_redelivered: int | None
    duplicates: int | None
    late_readings: int | None
    repairs: int | None
    requests_per_s: float | None
    request_errors_per_s: float | None
    """Answers with a status of 500 or more."""
    streams: int | None
    """Answers that are being streamed."""


@described
@dataclass(frozen=True)
class Overview:
    """The stack at one moment."""

    healthy: bool
    """All services that should run are ready, or rebalancing for seconds."""
    time: float
    """Epoch seconds."""
    interval_s: float | None
    """Period that rates and latencies cover; null without an earlier sample to compare with: ask again in a second."""
    services: tuple[ServiceView, ...]
    hops: tuple[HopView, ...]
    end_to_end: Mapping[str, LatencyQuantiles]
    """From a sensor's time to the committed row, by table."""
    dead_letters: tuple[RefusedCount, ...]
    """All reasons that have occurred since the services started, the most frequent first."""
    dead_letters_total: int | None
    """All dead letters that Kafka has; null: not known, since Kafka or the gateway does not answer."""
    counts: Counts
