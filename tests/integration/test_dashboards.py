"""Every panel of every dashboard, asked of a real Prometheus on the real stack under load: it shows what happened."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from backend_demo.dashboards.files import FOLDER
from backend_demo.domain.topics import AGGREGATED_DATA, PROCESSED_DATA, SRC_DATA
from backend_demo.faust_batch.producer import BatchProducer
from backend_demo.metrics import LATENCIES
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.services import prometheus
from tests.support.kafka import brokers
from tests.support.mqtt_client import MqttClient
from tests.support.prometheus import SCRAPED_S, Prometheus
from tests.support.sensors import Publisher, new_sensor
from tests.support.shell import Shell
from tests.support.wait import eventually

pytestmark = pytest.mark.skipif(not prometheus.installed(), reason="Prometheus is not installed: no prometheus on PATH")

#: Of services that run only where the settings ask for them.
ABSENT = ("service-bridge", "service-poll")
BOARDS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.iterdir()) if file.stem not in ABSENT
}

LOAD_S = 20

#: What is asked of the gateway, by route, and what it answers.
EVERYTHING = "sensor_num=1&timestamp_start=0&timestamp_end=9999999999"
REQUESTS = [
    ("/temperature_latest", "sensor_num=1", 200),
    ("/temperature_latest", "sensor_num=one", 422),
    ("/temperature", EVERYTHING, 200),
    ("/average", EVERYTHING, 200),
]


@dataclass(frozen=True)
class Load:
    """What was sent through the stack, and when."""

    begin: float
    busy: float
    """A moment when the load had been there for a while, epoch seconds."""
    end: float
    """When all of it was in the tables and scraped."""
    simulated: dict[str, Any]
    letters: Counter[tuple[str, str]]
    """The dead letters in their topic, by stage and reason."""
    rows: int
    requests: Counter[tuple[str, str]]
    """By route and status."""

    @property
    def seconds(self) -> int:
        """Its whole length: rounded down, its first moments would count as before it."""
        return math.ceil(self.end - self.begin)


@pytest.fixture(scope="module")
def api(running: tuple[Settings, Stack]) -> Prometheus:
    settings, stack = running
    stack.up((), lambda status: None)
    return Prometheus(settings)


@pytest.fixture(scope="module")
def load(running: tuple[Settings, Stack], api: Prometheus) -> Load:
    """Ten sensors with all their faults, bad records on every topic, and clients of the gateway."""
    settings, _ = running
    eventually(lambda: set(api.targets().values()) == {"up"}, "all targets are up", SCRAPED_S)
    letters = dead_letters(settings)
    time.sleep(SCRAPED_S / 2)  # so that what the tests before have moved is not taken for ours
    begin, rows = time.time(), api.value(LOADED)
    requests: Counter[tuple[str, str]] = Counter()
    with simulated_sensors(settings) as simulator:
        spoil(settings)
        until = time.monotonic() + LOAD_S - 2
        while time.monotonic() < until:
            requests.update(ask(settings, *request) for request in REQUESTS)
            with MqttClient(settings.mqtt_host, settings.mqtt_port) as stranger:
                assert stranger.connect(username="nobody", password="wrong").code
            time.sleep(0.5)
        busy = time.time()
        simulated = json.loads(simulator.communicate(timeout=60)[0])
    expected = simulated["sent"] + 1  # and one reading that is not the simulator's
    eventually(lambda: api.value(LOADED) - rows >= expected, "all of it is in the table, and scraped", 60)
    time.sleep(SCRAPED_S / 2)
    return Load(begin, busy, time.time(), simulated, dead_letters(settings) - letters, expected, requests)


LOADED = 'sum(sensor_values_loaded_total{service="loader"})'


@contextlib.contextmanager
def simulated_sensors(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    command = (
        *(sys.executable, "-m", "backend_demo", "simulate", "--state-dir", str(settings.state_dir)),
        *("--sensors", "10", "--rate", "10", "--duration", f"{LOAD_S}s", "-o", "json"),
        *("--duplicate", "0.05", "--late", "0.1", "--corrupt", "0.05"),
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def spoil(settings: Settings) -> None:
    """What no sensor would send: a message that is too large, two values at one time, bad records on later topics."""
    sensor, now = new_sensor(), time.time()
    with Publisher(settings) as publisher:
        publisher.raw(f"sensors/{sensor}/temperature", b"x" * (settings.max_payload_bytes + 1))
        publisher.reading(sensor, now, 20.0)
        publisher.settle()
        publisher.reading(sensor, now, 21.0)
        publisher.settle()

    async def produce() -> None:
        producer = BatchProducer(**brokers(settings).connection(), client_id="test")
        bad = [(b"%d" % sensor, b"{}")]
        await producer.send({(topic, 0): bad for topic in (SRC_DATA, PROCESSED_DATA, AGGREGATED_DATA)})
        await producer.stop()

    asyncio.run(produce())


def ask(settings: Settings, route: str, query: str, status: int) -> tuple[str, str]:
    try:
        with urllib.request.urlopen(f"{settings.gateway_url}{route}?{query}", timeout=10) as answer:
            answer.read()
            found = answer.status
    except urllib.error.HTTPError as refusal:
        refusal.close()
        found = refusal.code
    assert found == status
    return route, str(found)


def dead_letters(settings: Settings) -> Counter[tuple[str, str]]:
    bdemo = Shell(settings.state_dir)
    lines = bdemo("tail", "topic", "dead-letter", "--from-beginning", "--exit", "-o", "json").stdout.splitlines()
    headers = [json.loads(line)["headers"] for line in lines]
    return Counter((header["stage"], header["reason"]) for header in headers)


# -- as Grafana asks


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def filled(expression: str, *, window_s: int = 20, instance: str = ".+") -> str:
    """The query with Grafana's variables replaced: 20 s is four scrapes, the least that it takes for a rate."""
    found = expression.replace("$__rate_interval", f"{window_s}s").replace("$instance", instance)
    assert "$" not in found
    return found


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_shows_something(api: Prometheus, load: Load, name: str) -> None:
    """Every query of it answers with numbers: a table at a moment under load, the others before it too."""
    empty = []
    for panel in panels(BOARDS[name]):
        for target in panel["targets"]:
            expression = filled(target["expr"])
            if target["instant"]:
                found = [value for _, value in api.query(expression, load.busy)]
            else:
                found = [
                    number for series in api.range(expression, load.busy - 20, load.busy) for number in series.numbers
                ]
            if not found or any(number < 0 for number in found):
                empty.append((panel["title"], expression))
    assert empty == []


@pytest.mark.parametrize("name", [name for name, board in BOARDS.items() if board.get("templating")])
def test_instances_can_be_chosen(api: Prometheus, load: Load, name: str) -> None:
    """The choice holds the service's instances, and the only one shows what all of them show."""
    (variable,) = BOARDS[name]["templating"]["list"]
    selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
    service = name.removeprefix("service-")
    (instance,) = {one for _, found, one in api.targets() if found == service}
    assert instance in api.label_values(selector, label)  # beside copies that other tests had a while ago
    window = f"[{int(load.busy - load.begin)}s]"  # in the hour, or the minute, there may have been those copies
    for panel in panels(BOARDS[name]):
        for target in panel["targets"]:
            chosen, everything = (
                {
                    tuple(sorted(labels.items())): value
                    for labels, value in api.query(
                        re.sub(r"\[1[hm]\]", window, filled(target["expr"], instance=choice)), load.busy
                    )
                }
                for choice in (f"({instance})", ".+")
            )
            assert chosen == pytest.approx(everything, nan_ok=True), target["expr"]
            assert api.query(filled(target["expr"], instance="other:1"), load.busy) in ([], [({}, 0.0)])


# -- as the tables say


def query_of(name: str, title: str, legend: str) -> str:
    (found,) = (
        target["expr"]
        for panel in panels(BOARDS[name])
        for target in panel["targets"]
        if (panel["title"], target["legendFormat"]) == (title, legend)
    )
    return str(found)


def grown(api: Prometheus, load: Load, expression: str) -> list[tuple[dict[str, str], float]]:
    """What the query says of the whole load, as it came: what it counts a second or a minute, it counts from begin to
    end. (`rate` and `increase` guess what lies between a scrape and the end of their window.)
    """

    def growth(counted: re.Match[str]) -> str:
        series = counted[2]
        whole = f"({series} - ({series} offset {load.seconds}s or {series} * 0))"
        return whole if counted[1] == "increase" else f"({whole} / {load.seconds})"

    asked, count = re.subn(r"(rate|increase)\((\w+\{[^}]*\})\[[^\]]*\]\)", growth, expression)
    assert count
    return api.query(filled(asked), load.end)


def test_rows_are_those_of_the_table(api: Prometheus, load: Load, sql: Any) -> None:
    ((_, stored),) = grown(api, load, query_of("pipeline-overview", "Readings stored", "rows"))
    assert stored * load.seconds == pytest.approx(load.rows)
    title = "db_loader: Number of Values per Min"
    ((_, loaded),) = grown(api, load, query_of("faust-microservices", title, "sensor values loaded into db"))
    assert loaded == load.rows
    ((rows,),) = sql(
        "select count(*) from temperature where pg_xact_commit_timestamp(xmin) > to_timestamp($1)", load.begin
    )
    assert rows == load.rows


def test_dead_letters_are_those_of_the_topic(api: Prometheus, load: Load) -> None:
    found = grown(api, load, query_of("pipeline-overview", "Dead letters a minute", "{{service}}: {{reason}}"))
    shown = {(labels["service"], labels["reason"]): value for labels, value in found}
    assert shown == load.letters
    assert {stage for stage, _ in shown} == {"mqtt", "collection", "processing", "aggregation", "loader"}
    assert sum(count for (stage, _), count in load.letters.items() if stage != "loader") > load.simulated["corrupted"]


def test_repeated_readings_are_those_of_the_sensors(api: Prometheus, load: Load) -> None:
    found = grown(api, load, query_of("pipeline-overview", "Unusual readings, a minute", "{{service}}: duplicates"))
    shown = {labels["service"]: value for labels, value in found}
    assert shown["loader"] == load.simulated["duplicated"]


def test_every_hop_hands_on_all_that_it_was_handed(api: Prometheus, load: Load) -> None:
    (panel,) = (panel for panel in panels(BOARDS["pipeline-overview"]) if panel["title"].startswith("Share of records"))
    assert len(panel["targets"]) == 6
    for target in panel["targets"]:
        ((_, share),) = grown(api, load, target["expr"])
        assert share == pytest.approx(1, abs=0.01), target["legendFormat"]  # our bad records nobody handed on


def test_latency_is_what_the_commits_say(api: Prometheus, load: Load, sql: Any) -> None:
    """PostgreSQL knows when a row was committed; a histogram knows the bucket."""
    title = "db_loader: Latency of Sensor Value Processing"
    for legend, fraction in (("p50", 0.5), ("p95", 0.95)):
        ((_, shown),) = grown(api, load, query_of("faust-microservices", title, legend))
        ((committed,),) = sql(
            """select percentile_cont($2::float) within group (
                   order by extract(epoch from pg_xact_commit_timestamp(xmin)) - timestamp)
               from temperature where pg_xact_commit_timestamp(xmin) > to_timestamp($1::float)""",
            load.begin,
            fraction,
        )
        shown_bucket, bucket = (bisect_left(LATENCIES, seconds) for seconds in (shown, float(committed)))
        assert abs(shown_bucket - bucket) <= 1, (legend, shown, committed)


def test_requests_are_those_that_were_made(api: Prometheus, load: Load) -> None:
    found = grown(api, load, query_of("service-gateway", "Requests by route and status", "{{route}} {{status}}"))
    shown = {(labels["route"], labels["status"]): value * load.seconds for labels, value in found}
    assert {key: shown[key] for key in load.requests} == pytest.approx(dict(load.requests))
