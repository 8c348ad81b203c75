"""What the services count agrees with what went in and what stands in the tables."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend_demo.settings import Settings
from tests.support.sensors import Publisher, exact, new_sensor
from tests.support.wait import eventually

SERVICES = ("mqtt", "collection", "processing", "aggregation", "loader", "gateway")

Samples = Counter[tuple[str, str, tuple[tuple[str, str], ...]]]
"""Values by service, name and labels."""


def scrape(settings: Settings) -> Samples:
    found: Samples = Counter()
    for service in SERVICES:
        url = f"http://{settings.stats_host}:{settings.stats_port(service)}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            page = answer.read().decode()
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                found[service, sample.name, tuple(sorted(sample.labels.items()))] += sample.value
    return found


def value(samples: Samples, service: str, name: str, /, **labels: str) -> float:
    """The sum over all series that have these labels."""
    return sum(
        number
        for (found, what, has), number in samples.items()
        if (found, what) == (service, name) and labels.items() <= dict(has).items()
    )


def test_every_reading_is_counted_at_every_hop(settings: Settings, sql: Any) -> None:
    """200 readings in order, 20 of them twice, 5 late, 3 too late, 4 refused, one conflict."""
    sensors = [new_sensor() for _ in range(4)]
    before, now = scrape(settings), time.time()
    with Publisher(settings) as publisher:
        for i in range(200):
            publisher.reading(sensors[i % 4], now - 100 + i / 10, 20 + i % 7)
        publisher.settle()
        exact(sql, publisher.acknowledged)
        for i in range(20):
            publisher.reading(sensors[i % 4], now - 100 + i / 10, 20 + i % 7)
        for i in range(5):
            publisher.reading(sensors[0], now - 81 + i / 100, 21.5)
        for i in range(3):
            publisher.reading(sensors[1], now - 500 + i, 22.5)
        publisher.settle()
        exact(sql, publisher.acknowledged)
        publisher.raw(f"sensors/{sensors[0]}/temperature", b'{"value": "warm", "timestamp": 1700000000}', [])
        publisher.raw(f"sensors/{sensors[0]}/temperature", b'{"value": 1000, "timestamp": 1700000000}', [])
        publisher.raw("sensors/none/humidity", b"{}", [])
        publisher.raw(f"sensors/{sensors[0]}/temperature", b"", [])
        publisher.reading(sensors[2], now - 100 + 0.2, 99.0)
        publisher.settle()
    sent, read = 233, 229  # messages; readings that the collection understood: one more was refused by its range

    def moved() -> Samples:
        after = scrape(settings)
        after.subtract(before)
        return after

    # what is older than the window may be a repeat or none: only the table knows
    too_late = 3 + 20 + 1

    counts = {
        ("mqtt", "mqtt"): sent,
        ("collection", "sensor-data"): sent,
        ("processing", "src-data"): read + 1,
        ("aggregation", "processed-data"): read,
        ("loader", "processed-data"): read,
    }

    def through() -> Samples | None:
        """The repair of the last reading reaches the loader by another topic than the reading itself.

        The services are asked one after the other: one may count a record after it was asked, which the next has
        counted when its turn comes.
        """
        after = moved()
        conflicts, repairs = (value(after, "loader", f"bdemo_{what}_total") for what in ("conflicts", "repairs"))
        short = any(
            value(after, service, "bdemo_records_total", topic=topic) < count
            for (service, topic), count in counts.items()
        )
        return after if conflicts >= 1 and repairs >= too_late and not short else None

    after = eventually(through, "the conflict, all repairs and all records counted", 30)
    for (service, topic), count in counts.items():
        assert value(after, service, "bdemo_records_total", topic=topic) == count, (service, topic)
        assert value(after, service, "bdemo_hop_seconds_count", topic=topic) == count, (service, topic)
        seconds = value(after, service, "bdemo_hop_seconds_sum", topic=topic)
        assert 0 < seconds < 30 * count, (service, topic)
    assert value(after, "collection", "bdemo_dead_letters_total") == 3
    assert value(after, "collection", "bdemo_dead_letters_total", reason="topic") == 1
    assert value(after, "processing", "bdemo_dead_letters_total", reason="range") == 1
    assert value(after, "loader", "bdemo_dead_letters_total", reason="conflict") == 1
    assert value(after, "loader", "sensor_values_loaded_total") == 208
    assert value(after, "loader", "bdemo_conflicts_total") == 1
    assert value(after, "loader", "bdemo_duplicates_total") == 20
    assert value(after, "aggregation", "bdemo_repairs_total") == too_late
    assert value(after, "loader", "bdemo_repairs_total") == too_late
    assert value(after, "aggregation", "bdemo_late_readings_total") == too_late + 5
    assert value(after, "loader", "bdemo_end_to_end_seconds_count", table="temperature") == read
    assert value(after, "loader", "bdemo_database_batch_rows_count") > 0
    assert value(after, "loader", "bdemo_database_batch_seconds_sum") > 0

    def caught_up() -> bool:
        now = scrape(settings)
        stages = ("collection", "processing", "aggregation", "loader")
        return not any(value(now, stage, f"bdemo_lag_{what}") for stage in stages for what in ("records", "seconds"))

    eventually(caught_up, "no lag left", 15)
    eventually(lambda: value(scrape(settings), "aggregation", "bdemo_sensors", state="active") >= 4, "sensors", 15)


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/temperature_latest?sensor_num=1", "/temperature_latest", "200"),
        ("/temperature_latest?sensor_num=one", "/temperature_latest", "422"),
        ("/v1/latest", "/v1/latest", "200"),
        ("/temperature?sensor_num=1&timestamp_start=0&timestamp_end=1", "/temperature", "200"),
        ("/wp-login.php", "none", "404"),
    ],
)
def test_a_request_is_counted_by_route_and_status(settings: Settings, path: str, route: str, status: str) -> None:
    """By the route, not by the path: paths are the clients' to invent."""
    before = scrape(settings)
    try:
        with urllib.request.urlopen(settings.gateway_url + path, timeout=10) as answer:
            answer.read()
    except urllib.error.HTTPError as problem:
        problem.close()

    def counted() -> bool:
        after = scrape(settings)
        after.subtract(before)
        return value(after, "gateway", "bdemo_request_seconds_count", route=route, status=status) == 1

    eventually(counted, "the request counted", 5)
    assert value(scrape(settings), "gateway", "bdemo_streams") == 0


def test_a_service_says_what_it_is(settings: Settings) -> None:
    samples = scrape(settings)
    for service in SERVICES:
        assert value(samples, service, "bdemo_build_info", service=service) == 1
        assert value(samples, service, "bdemo_service_ready", service=service) == 1
