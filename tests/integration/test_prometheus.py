"""A real Prometheus on the real stack under load: what it scrapes, what the rules make of it, what the tables say."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
import yaml

from backend_demo.places import compose_files
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.services import prometheus
from tests.support.prometheus import SCRAPED_S, Prometheus
from tests.support.shell import Shell
from tests.support.wait import eventually

pytestmark = pytest.mark.skipif(not prometheus.installed(), reason="Prometheus is not installed")

GROUPS: list[dict[str, Any]] = yaml.safe_load((compose_files() / "prometheus" / "rules.yml").read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]

#: The slowest group of rules is evaluated every 30 s.
EVALUATED_S = 45

TARGETS = {
    ("mqtt", "mqtt", "mqtt:7007"),
    ("collection", "collection", "collection:7002"),
    ("processing", "processing", "processing:7003"),
    ("aggregation", "aggregation", "aggregation:7004"),
    ("load", "loader", "load:7005"),
    ("api-gateway", "gateway", "api-gateway:7006"),
}

#: The panels of the original's dashboard, to the letter.
ORIGINAL = [
    *(
        f'increase(sensor_values_{what}_total{{instance="{instance}"}}[60s])'
        for instance, done in (
            ("collection:7002", "collected"),
            ("processing:7003", "processed"),
            ("aggregation:7004", "aggregated"),
        )
        for what in ("received", done, "sent")
    ),
    'increase(sensor_values_loaded_total{instance="load:7005"}[60s])',
    'increase(aggregated_values_loaded_total{instance="load:7005"}[60s])',
    'sensor_value_latency_bucket{instance="load:7005"}',
    'aggregated_value_latency_bucket{instance="load:7005"}',
    'sensor_values_requests_total{instance="api-gateway:7006"}',
    'aggregated_values_requests_total{instance="api-gateway:7006"}',
    'latest_value_requests_total{instance="api-gateway:7006"}',
    'latest_value_requests_age_seconds_bucket{instance="api-gateway:7006"}',
]


@pytest.fixture(scope="module")
def api(running: tuple[Settings, Stack]) -> Prometheus:
    settings, stack = running
    stack.up((), lambda status: None)
    return Prometheus(settings)


@dataclass(frozen=True)
class Load:
    """What came of the load, by three accounts."""

    simulated: dict[str, Any]
    """What the simulator says."""
    rows: int
    """What was added to the table of readings."""
    counted: dict[str, float]
    """By how much the counters have gone up."""
    scraped_at: float
    """When all of it had been scraped and recorded, epoch seconds."""


COUNTED = {
    "messages": 'sum(bdemo_records_total{service="mqtt"})',
    "refused": "sum(bdemo_dead_letters_total)",
    "rows": 'sum(sensor_values_loaded_total{service="loader"})',
    "timed": 'sum(bdemo_end_to_end_seconds_count{table="temperature"})',
}


@pytest.fixture(scope="module")
def load(running: tuple[Settings, Stack], api: Prometheus) -> Load:
    """100 messages/s for a quarter of a minute, one in twenty to be refused; then the gateway is asked."""
    settings, _ = running
    eventually(lambda: api.targets() == dict.fromkeys(TARGETS, "up"), "all targets are up", SCRAPED_S)
    time.sleep(SCRAPED_S / 2)  # what the tests before have moved is scraped as well
    before, rows = counts(api), rows_in(settings)
    bdemo = Shell(settings.state_dir)
    words = ("--sensors", "10", "--rate", "10", "--duration", "15s", "--corrupt", "0.05", "-o", "json")
    simulated = json.loads(bdemo("simulate", *words).stdout)
    everything = "sensor_num=1&timestamp_start=0&timestamp_end=9999999999"
    for path in ("temperature_latest?sensor_num=1", f"temperature?{everything}", f"average?{everything}"):
        with urllib.request.urlopen(f"{settings.gateway_url}/{path}", timeout=10) as answer:
            assert answer.status == 200

    def counted() -> dict[str, float]:
        return {name: now - before[name] for name, now in counts(api).items()}

    def complete() -> bool:
        found = counted()  # one service after another is scraped
        return found["messages"] == found["rows"] + found["refused"] >= int(simulated["messages"])

    eventually(complete, "all of it is in the tables or refused, and scraped", 3 * SCRAPED_S)
    time.sleep(SCRAPED_S / 2)  # and recorded
    return Load(simulated, rows_in(settings) - rows, counted(), time.time())


def by(found: list[tuple[dict[str, str], float]], label: str) -> dict[str, float]:
    """The values by that label's."""
    return {labels[label]: value for labels, value in found}


def counts(api: Prometheus) -> dict[str, float]:
    return {name: api.value(expression) for name, expression in COUNTED.items()}


def rows_in(settings: Settings) -> int:
    async def ask() -> int:
        connection = await asyncpg.connect(settings.postgres_dsn)
        try:
            return int(await connection.fetchval("select count(*) from temperature"))
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_counters_agree_with_the_sensors_and_the_tables(load: Load) -> None:
    sent, refused = load.simulated["sent"], load.simulated["corrupted"]
    assert refused > 0
    assert load.rows == sent
    assert load.counted == {"messages": sent + refused, "refused": refused, "rows": sent, "timed": sent}


@pytest.mark.usefixtures("load")
def test_every_rule_is_evaluated_and_records_something(api: Prometheus) -> None:
    def evaluated() -> bool:
        found = [rule for group in api.get("rules")["groups"] for rule in group["rules"]]
        assert [rule["name"] for rule in found if rule["health"] == "err"] == []
        return len(found) == len(RULES) and all(rule["health"] == "ok" for rule in found)

    eventually(evaluated, "all rules are evaluated", EVALUATED_S)
    records = {rule["record"] for rule in RULES if "record" in rule}
    eventually(lambda: all(api.query(record) for record in records), "all of them record something", EVALUATED_S)
    for rule in RULES:
        api.query(rule["expr"])  # raises when Prometheus refuses it


def test_recorded_rates_and_quantiles_agree_with_the_counters(api: Prometheus, load: Load) -> None:
    """At the moment at which all of the load was scraped: `rate` extrapolates to the ends of its minute."""
    at = api.value("max(timestamp(service:bdemo_records:rate1m))", load.scraped_at)
    assert 60 * api.value("stack:sensor_values_loaded:rate1m", at) >= 0.9 * load.rows
    counted = api.query("sum by (service) (rate(bdemo_records_total[1m]))", at)
    recorded = api.query("service:bdemo_records:rate1m", at)
    assert by(recorded, "service") == pytest.approx(by(counted, "service"), rel=0.1)
    assert by(recorded, "service").keys() == {"mqtt", "collection", "processing", "aggregation", "loader"}
    for table in ("temperature", "average"):
        found = by(api.query(f'table_quantile:bdemo_end_to_end_seconds:rate1m{{table="{table}"}}', at), "quantile")
        assert 0 < found["0.5"] <= found["0.95"] <= found["0.99"] <= 60
    # services measure their lag every second: the scrape that had all counters may have had the lag before them
    eventually(lambda: api.value("sum(service:bdemo_lag_records:sum)") == 0, "no lag in records", SCRAPED_S)
    eventually(lambda: api.value("max(service:bdemo_lag_seconds:max)") == 0, "no lag in seconds", SCRAPED_S)


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("expression", ORIGINAL)
def test_a_panel_of_the_original_shows_something(api: Prometheus, expression: str) -> None:
    found = api.query(expression)
    assert found
    assert max(value for _, value in found) > 0


def test_copies_are_scraped_as_they_come_and_go(api: Prometheus, stack: Stack) -> None:
    copy = ("processing", "processing", "processing-2:7103")
    try:
        stack.scale({"processing": 2}, lambda status: None)
        eventually(lambda: api.targets() == dict.fromkeys({*TARGETS, copy}, "up"), "the copy is up", SCRAPED_S)
    finally:
        stack.scale({"processing": 1}, lambda status: None)
    eventually(lambda: api.targets().keys() == TARGETS, "the copy is gone", SCRAPED_S)


def test_a_service_that_is_stopped_is_down_and_not_forgotten(api: Prometheus, stack: Stack) -> None:
    stack.stop("gateway")
    try:
        down = {("api-gateway", "gateway", "api-gateway:7006"): "down"}
        eventually(lambda: api.targets() == {**dict.fromkeys(TARGETS, "up"), **down}, "it is down", SCRAPED_S)
        assert api.value('up{service="gateway"}') == 0
    finally:
        stack.start("gateway")
