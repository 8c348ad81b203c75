"""/v1/traces on the real stack: the lines as the reading comes on, and what ends it otherwise."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from backend_demo.domain.topics import DEAD_LETTER
from backend_demo.gateway.app import create_app
from backend_demo.gateway.routes.traces import AT_ONCE
from backend_demo.operations.trace.path import steps
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.state.directory import StateDirectory
from tests.support.gateway import GatewayProcess, serving
from tests.support.kafka import brokers, environment
from tests.support.sensors import new_sensor
from tests.support.wait import eventually

START_S = 300


def post(settings: Settings, body: Any, **headers: str) -> httpx.Response:
    url = f"{settings.gateway_url}/v1/traces"
    return httpx.post(url, json=body, headers={name.replace("_", "-"): headers[name] for name in headers}, timeout=60)


def lines(settings: Settings, body: Any, **headers: str) -> list[dict[str, Any]]:
    answer = post(settings, body, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def served(settings: Settings, sensor: int, **headers: str) -> list[dict[str, Any]]:
    """The lines of a trace that came through in its time: the first on a busy machine may not."""

    def ask() -> list[dict[str, Any]] | None:
        told = lines(settings, {"sensor": sensor, "value": 23.5}, **headers)
        return told if told[-1]["outcome"] == "served" else None

    return list(eventually(ask, "it is served", limit_s=120))


def test_a_reading_is_told_hop_by_hop(settings: Settings, state: StateDirectory, sql: Any) -> None:
    sensor = new_sensor()
    told = served(settings, sensor)
    assert {line["schema"] for line in told} == {"bdemo.trace/1"}
    assert {line["outcome"] for line in told[:-1]} == {"under way"}
    assert [len(line["hops"]) for line in told] == sorted(len(line["hops"]) for line in told)
    assert len(told[0]["hops"]) == 1
    last = told[-1]
    assert {hop["name"] for hop in last["hops"]} == {step.name for step in steps(published=True, rest=True)}
    assert (last["missing"], last["refusal"]) == ([], None)
    assert "problem" not in last
    for table in ("temperature", "average"):
        query = f"select value from {table} where sensor_num = $1 and timestamp = $2"
        assert [row[0] for row in sql(query, sensor, last["timestamp"])] == [23.5]
    assert str(sensor) not in state.log_of("gateway").read_text()


def test_the_last_line_is_what_bdemo_trace_tells(settings: Settings, bdemo: Any) -> None:
    last = served(settings, new_sensor())[-1]
    printed = json.loads(bdemo("trace", str(new_sensor()), "--timeout", "60s", "-o", "json").stdout)
    assert set(printed) == set(last)
    assert [set(hop) for hop in printed["hops"]] == [set(hop) for hop in last["hops"]]
    assert [hop["name"] for hop in printed["hops"]] == [hop["name"] for hop in last["hops"]]


def test_a_refused_value(settings: Settings) -> None:
    def ask() -> dict[str, Any] | None:
        last = lines(settings, {"sensor": new_sensor(), "value": 1e9})[-1]
        return last if last["outcome"] == "refused" else None

    last = eventually(ask, "it is refused", limit_s=120)
    assert (last["refusal"]["stage"], last["refusal"]["reason"]) == ("processing", "range")
    assert last["hops"][-1]["name"] == DEAD_LETTER
    assert last["problem"]["code"] == "verification_failed"
    assert last["problem"]["detail"].startswith("processing refuses the reading: range: ")


def test_a_stage_that_stands_still(settings: Settings, stack: Stack) -> None:
    """The readings stand before it until time is up; no more than a few are followed at once."""
    stack.stop("processing")
    try:
        with ThreadPoolExecutor(AT_ONCE + 2) as pool:
            bodies = [{"sensor": new_sensor(), "value": 20.0} for _ in range(AT_ONCE + 2)]
            answers = list(pool.map(lambda body: post(settings, body), bodies))
        last = lines(settings, {"sensor": new_sensor(), "value": 20.0})[-1]
    finally:
        stack.start("processing")
    refused = [answer for answer in answers if answer.status_code != 200]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(429, "too_many_traces")] * 2
    assert int(refused[0].headers["retry-after"]) > 0
    assert last["outcome"] == "timed out"
    assert last["problem"]["code"] == "timed_out"
    assert "processing" in last["problem"]["hint"]
    assert "processed-data" in last["stands_before"]


@contextlib.contextmanager
def _followed(settings: Settings) -> Iterator[Iterator[str]]:
    body = {"sensor": new_sensor(), "value": 20.0}
    with httpx.stream("POST", f"{settings.gateway_url}/v1/traces", json=body, timeout=60) as answer:
        assert answer.status_code == 200
        yield answer.iter_lines()


def test_who_leaves_ends_it(settings: Settings, stack: Stack, sql: Any) -> None:
    stack.stop("processing")
    try:
        with _followed(settings) as followed:
            next(followed)
            assert connections(sql) > 0
        eventually(lambda: connections(sql) == 0, "its connection to PostgreSQL is closed", limit_s=8)
    finally:
        stack.start("processing")


def connections(sql: Any) -> int:
    return int(sql("select count(*) from pg_stat_activity where application_name = 'bdemo trace'")[0][0])


@contextlib.contextmanager
def gateway_without(running: tuple[Settings, Stack], away: str) -> Iterator[GatewayProcess]:
    """A gateway that does not find one of the servers."""
    settings = running[0]
    addresses = {
        **environment(brokers(settings)),
        "BDEMO_MQTT_PORT": str(settings.mqtt_port),
        "BDEMO_MQTT_USERNAME": settings.mqtt_username,
        "BDEMO_MQTT_PASSWORD": settings.mqtt_password,
        **{"kafka": {"BDEMO_KAFKA_BOOTSTRAP": "127.0.0.1:1"}, "mqtt": {"BDEMO_MQTT_PORT": "1"}}[away],
    }
    dsn = StateDirectory(settings.state_dir).postgres_dsn("bdemo_reader")
    with serving(dsn, settings=addresses, timeout_s=START_S) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def without_kafka(running: tuple[Settings, Stack]) -> Iterator[GatewayProcess]:
    with gateway_without(running, "kafka") as gateway:
        yield gateway


def refuses(gateway: GatewayProcess, server: str) -> None:
    """It says which server is away, as a trace begins and in its stats."""
    answer = httpx.post(f"{gateway.url}/v1/traces", json={"sensor": 1}, timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert int(answer.headers["retry-after"]) > 0
    assert server in answer.json()["detail"]
    services = gateway.get("/v1/stats").json()["services"]
    assert {service["name"] for service in services if service["state"] == "down"} >= {server.lower()}


def test_without_kafka_it_does_not_begin(without_kafka: GatewayProcess) -> None:
    refuses(without_kafka, "Kafka")


def test_without_a_broker_it_does_not_begin(running: tuple[Settings, Stack]) -> None:
    with gateway_without(running, "mqtt") as gateway:
        refuses(gateway, "MQTT")


schema = schemathesis.openapi.from_dict(create_app(Settings()).openapi()).include(path="/v1/traces")


@schema.parametrize()
@hypothesis.settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_what_is_promised_is_kept(case: schemathesis.Case[Any], without_kafka: GatewayProcess) -> None:
    """Whatever schemathesis sends; nothing of it is published."""
    case.call_and_validate(base_url=without_kafka.url, excluded_checks=[not_a_server_error, positive_data_acceptance])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "sensor"),
        ({"sensor": "1"}, "sensor"),
        ({"sensor": 1.5}, "sensor"),
        ({"sensor": True}, "sensor"),
        ({"sensor": -1}, "sensor"),
        ({"sensor": 2**63}, "sensor"),
        ({"sensor": [1]}, "sensor"),
        ({"sensor": 1, "value": "20"}, "value"),
        ({"sensor": 1, "value": False}, "value"),
        ({"sensor": 1, "time": 0}, "time"),
        ([], "body"),
    ],
)
def test_a_body_that_is_none(settings: Settings, body: Any, field: str) -> None:
    answer = post(settings, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameters")
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}{}", b"[" * 16_000, b'{"sensor":1,"value":NaN}', b'{"sensor":1,"value":1e400}', b"\xff"]
)
def test_what_is_no_json(settings: Settings, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{settings.gateway_url}/v1/traces", content=content, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
        ({"Content-Type": "application/json", "Origin": "http://evil.example"}, 403),
        ({"Content-Type": "application/json", "Origin": "null"}, 403),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "application/json", "Host": "evil.example"}, 400),
    ],
)
def test_other_pages_publish_nothing(settings: Settings, sql: Any, headers: dict[str, str], status: int) -> None:
    sensor = new_sensor()
    answer = httpx.post(f"{settings.gateway_url}/v1/traces", content=b'{"sensor":%d}' % sensor, headers=headers)
    assert answer.status_code == status
    assert sql("select count(*) from temperature where sensor_num = $1", sensor)[0][0] == 0


def test_our_own_page_does(settings: Settings) -> None:
    assert served(settings, new_sensor(), origin=settings.gateway_url, sec_fetch_site="same-origin")


def test_it_is_asked_by_post(settings: Settings) -> None:
    answer = httpx.get(f"{settings.gateway_url}/v1/traces")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
