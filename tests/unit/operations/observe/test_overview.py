"""The pipeline at a glance, from two readings of its metrics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from backend_demo.operations.observe.exposition import Samples, parse
from backend_demo.operations.observe.overview import NAMES, overview
from backend_demo.operations.observe.samples import Scrape
from backend_demo.operations.observe.view import Overview
from backend_demo.stack.base import ServiceStatus


def stage(
    service: str = "processing",
    *,
    records: float = 0,
    started: float = 1000.0,
    ready: float = 1,
    rebalancing: float = 0,
    dead: dict[str, int] | None = None,
    waits: tuple[float, ...] = (),
    lag: dict[int, tuple[int, float]] | None = None,
) -> Samples:
    """What a stage tells, through prometheus-client."""
    registry = CollectorRegistry()
    Gauge("process_start_time_seconds", "-", registry=registry).set(started)
    Gauge("process_cpu_seconds_total", "-", registry=registry).set(records / 1000)
    Gauge("process_resident_memory_bytes", "-", registry=registry).set(8e7)
    Gauge("bdemo_service_ready", "-", ["service"], registry=registry).labels(service).set(ready)
    Gauge("bdemo_service_rebalancing", "-", ["service"], registry=registry).labels(service).set(rebalancing)
    Counter("sensor_values_sent", "-", registry=registry).inc(records)
    if records:
        Counter("bdemo_records", "-", ["service", "topic"], registry=registry).labels(service, "src-data").inc(records)
    refused = Counter("bdemo_dead_letters", "-", ["service", "reason"], registry=registry)
    for reason, count in (dead or {}).items():
        refused.labels(service, reason).inc(count)
    hop = Histogram("bdemo_hop_seconds", "-", ["service", "topic"], registry=registry, buckets=(0.01, 0.02, 0.04))
    for wait in waits:
        hop.labels(service, "src-data").observe(wait)
    waiting = Gauge("bdemo_lag_records", "-", ["service", "topic", "partition"], registry=registry)
    oldest = Gauge("bdemo_lag_seconds", "-", ["service", "topic", "partition"], registry=registry)
    for partition, (count, seconds) in (lag or {}).items():
        waiting.labels(service, "src-data", partition).set(count)
        oldest.labels(service, "src-data", partition).set(seconds)
    return parse(generate_latest(registry).decode(), NAMES)


def of(before: Samples | None, now: Samples | None, *seen: ServiceStatus, name: str = "processing") -> Overview:
    return overview(Scrape(2000.0, {name: before}), Scrape(2002.0, {name: now}), seen)


def test_rates_are_what_happened_in_between() -> None:
    (service,) = of(stage(records=100, waits=(0.03,)), stage(records=300, waits=(0.03, 0.005, 0.005))).services
    assert (service.state, service.records_per_s, service.cpu_cores) == ("ready", 100.0, 0.1)
    assert service.latency.p50_s == pytest.approx(0.005)
    assert service.uptime_s == 1002.0


def test_a_first_record_counts_though_its_series_was_not_there() -> None:
    (service,) = of(stage(), stage(records=10)).services
    assert service.records_per_s == 5.0


def test_nothing_in_between_is_a_rate_of_0_and_no_latency() -> None:
    (service,) = of(stage(waits=(0.1,)), stage(waits=(0.1,))).services
    assert (service.records_per_s, service.latency.p50_s) == (0.0, None)


def test_a_service_that_was_restarted_begins_at_0() -> None:
    (service,) = of(stage(records=1000), stage(records=1004, started=2001.0)).services
    assert service.records_per_s == 502.0


def test_after_silence_nobody_knows_the_rate() -> None:
    (service,) = of(None, stage(records=1000)).services
    assert (service.state, service.records_per_s, service.cpu_cores) == ("ready", None, None)


@pytest.mark.parametrize(
    ("last", "state"),
    [("ready", "down"), ("unhealthy", "down"), ("stopped", "stopped"), ("failed", "failed"), ("starting", "starting")],
)
def test_a_service_that_does_not_answer_is_down_at_once(last: str, state: str) -> None:
    seen = ServiceStatus("processing", last, pid=7, uptime_s=90.0)  # type: ignore[arg-type]
    found = of(stage(records=3), None, seen)
    assert (found.services[0].state, found.services[0].records_per_s) == (state, None)
    assert not found.healthy
    assert found.hops[2].count is None


def test_a_service_says_itself_whether_it_is_ready() -> None:
    stopped = ServiceStatus("processing", "stopped")  # a look that is seconds old
    assert of(None, stage(ready=1), stopped).services[0].state == "ready"
    assert of(None, stage(ready=0, started=1999.0), stopped).services[0].state == "starting"
    assert of(None, stage(ready=0), stopped).services[0].state == "unhealthy"


def test_a_service_whose_group_assigns_partitions_again_is_healthy() -> None:
    found = of(None, stage(ready=0, rebalancing=1), ServiceStatus("processing", "ready"))
    assert found.services[0].state == "rebalancing"
    assert found.healthy


def test_servers_are_there_with_what_the_stack_says() -> None:
    seen = [ServiceStatus("kafka", "ready", pid=7, uptime_s=9.0, rss_bytes=5), ServiceStatus("prometheus", "off")]
    found = of(stage(), stage(), *seen)
    assert [(each.name, each.state) for each in found.services] == [
        ("kafka", "ready"),
        ("prometheus", "off"),
        ("processing", "ready"),
    ]
    assert (found.services[0].pid, found.services[0].rss_bytes, found.services[0].records_per_s) == (7, 5, None)
    assert found.healthy


def test_lag_is_the_sum_of_records_and_the_oldest_second() -> None:
    (service,) = of(stage(), stage(lag={0: (5, 0.5), 1: (7, 2.26), 2: (0, 0.0)})).services
    assert service.lag is not None
    assert (service.lag.records, service.lag.seconds) == (12, 2.3)


def test_dead_letters_by_stage_and_reason_the_most_first() -> None:
    found = of(stage(dead={"json": 1, "range": 3, "time": 0}), stage(dead={"json": 5, "range": 9, "time": 0}))
    assert [(each.service, each.reason, each.count, each.per_s) for each in found.dead_letters] == [
        ("processing", "range", 9, 3.0),
        ("processing", "json", 5, 2.0),
    ]
    assert (found.services[0].dead_letters, found.services[0].dead_letters_per_s) == (14, 5.0)


def test_copies_count_together_where_readings_pass() -> None:
    before = Scrape(2000.0, {"processing": stage(records=10), "processing-2": stage(records=20)})
    now = Scrape(2001.0, {"processing": stage(records=20), "processing-2": stage(records=50)})
    found = overview(before, now, ())
    hop = next(hop for hop in found.hops if hop.name == "processed-data")
    assert (hop.count, hop.per_s) == (70, 40.0)
    assert [each.records_per_s for each in found.services] == [10.0, 30.0]


@given(
    st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans())),
    st.integers(1, 10),
)
def test_rates_add_up_whatever_grew_and_was_restarted(grown: dict[str, tuple[int, int, bool]], seconds: int) -> None:
    """Each stage counted `first`, then `more`, from 0 when it was restarted in between."""
    before = {name: stage(records=first) for name, (first, _, _) in grown.items()}
    now = {
        name: stage(records=more if restarted else first + more, started=2001.0 if restarted else 1000.0)
        for name, (first, more, restarted) in grown.items()
    }
    found = overview(Scrape(2000.0, before), Scrape(2000.0 + seconds, now), ())
    for service in found.services:
        assert service.records_per_s == pytest.approx(grown[service.name][1] / seconds, abs=0.051)
