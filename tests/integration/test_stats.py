"""/v1/stats on the real stack: what it tells is what the tables, `bdemo top` and the stack itself say."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from tests.support.sensors import Publisher, new_sensor
from tests.support.shell import Shell
from tests.support.wait import eventually

REFUSED = 3


def stats(settings: Settings) -> dict[str, Any]:
    answer = httpx.get(f"{settings.gateway_url}/v1/stats", timeout=60)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def with_rates(settings: Settings) -> dict[str, Any]:
    """The next answer that has something to compare with."""
    return dict(eventually(lambda: (found := stats(settings))["interval_s"] and found, "rates"))


def counts(found: dict[str, Any]) -> dict[str, int]:
    return {hop["name"]: hop["count"] for hop in found["hops"]}


def refused(found: dict[str, Any]) -> int:
    return sum(
        each["count"] for each in found["dead_letters"] if (each["service"], each["reason"]) == ("collection", "json")
    )


def states(settings: Settings) -> dict[str, str]:
    return {service["name"]: service["state"] for service in stats(settings)["services"]}


def newer(settings: Settings, than: float) -> dict[str, Any]:
    """An answer from metrics that were read after this moment."""
    return dict(eventually(lambda: (found := with_rates(settings))["time"] > than and found, "a newer look"))


def test_its_numbers_are_those_of_the_tables_and_of_top(bdemo: Shell, settings: Settings, sql: Any) -> None:
    sensor, sent = new_sensor(), 50
    before = with_rates(settings)
    with Publisher(settings) as publisher:
        for _ in range(REFUSED):
            publisher.raw(f"sensors/{sensor}/temperature", b"{no json")
        for number in range(sent):
            publisher.reading(sensor, time.time(), 20.0 + number % 7)
        publisher.settle()
    query = "select count(*) from average where sensor_num = $1"
    eventually(lambda: sql(query, sensor)[0][0] == sent, "all averages in the table")
    eventually(lambda: refused(stats(settings)) - refused(before) == REFUSED, "all dead letters")
    after = newer(settings, time.time())
    new = {name: number - counts(before)[name] for name, number in counts(after).items()}
    assert new["table temperature"] == new["table average"] == sent
    assert all(number >= sent for number in new.values()), new

    top = json.loads(bdemo("top", "--once", "-o", "json", "--interval", "0.5").stdout)
    assert counts(top) == counts(after)
    assert after["dead_letters"]
    assert [(each["reason"], each["count"]) for each in top["dead_letters"]] == [
        (each["reason"], each["count"]) for each in after["dead_letters"]
    ]
    told = {service["name"]: service for service in after["services"]}
    for service in top["services"]:
        if service["name"] in ("prometheus", "grafana"):
            continue
        assert told[service["name"]]["state"] == service["state"] == "ready", service
        assert set(told[service["name"]]) == set(service)
    assert set(after) - {"healthy"} == set(top) - {"schema", "stack", "healthy"}
    assert after["healthy"] is True


def test_rates_and_latencies_while_readings_come(settings: Settings) -> None:
    ended, sensor = threading.Event(), new_sensor()

    def moving() -> dict[str, Any] | None:
        found = with_rates(settings)
        return found if all(hop["per_s"] for hop in found["hops"]) else None

    def publish() -> None:
        with Publisher(settings) as publisher:
            while not ended.wait(0.05):
                publisher.reading(sensor, time.time(), 20.0)
            publisher.settle()

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        found = eventually(moving, "rates everywhere")
    finally:
        ended.set()
        thread.join(60)
    services = {service["name"]: service for service in found["services"]}
    for name in ("mqtt", "collection", "processing", "aggregation", "loader"):
        assert services[name]["records_per_s"] > 0
        assert services[name]["rss_bytes"] > 10_000_000
        assert services[name]["uptime_s"] > 0
    assert services["loader"]["latency"]["p99_s"] > 0
    assert services["loader"]["lag"]["records"] >= 0


def test_however_many_ask_it_looks_once_a_second(settings: Settings) -> None:
    stats(settings)
    began = time.time()
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: stats(settings)["time"], range(200)))
    assert len(set(found)) <= time.time() - began + 2


def test_a_stage_that_is_stopped_is_down(settings: Settings, stack: Stack) -> None:
    eventually(lambda: states(settings)["processing"] == "ready", "ready")
    stack.stop("processing")
    try:
        found = eventually(
            lambda: states(settings)["processing"] == "down" and stats(settings), "it is told to be down"
        )
        assert found["healthy"] is False
        assert counts(found)["processed-data"] is None
    finally:
        stack.start("processing")
    eventually(lambda: states(settings)["processing"] == "ready", "ready again")


def test_copies_appear_and_go(settings: Settings, bdemo: Shell) -> None:
    bdemo("scale", "collection=2", timeout_s=300)
    try:
        eventually(lambda: states(settings).get("collection-2") == "ready", "the second copy")
    finally:
        bdemo("scale", "collection=1", timeout_s=300)
    eventually(lambda: "collection-2" not in states(settings), "it is gone")


def test_an_unknown_parameter_is_refused(settings: Settings) -> None:
    answer = httpx.get(f"{settings.gateway_url}/v1/stats", params={"interval": "1"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "interval")
