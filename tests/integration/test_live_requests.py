"""Requests for live streams: parameters, limits, other origins, and gateways of a test's own."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from backend_demo.settings import Settings
from tests.support.gateway import GatewayProcess, serving
from tests.support.kafka import brokers, environment
from tests.support.live import ServerSent, WebSocket, publish
from tests.support.sensors import Publisher
from tests.support.wait import eventually

pytestmark = pytest.mark.usefixtures("streams_given_back")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(("topic=src-data", "topic"), ("topic=", "topic"), ("sensor=%20abc", "sensor"), ("sensor=-1", "sensor")),
        *(("sensor=9223372036854775808", "sensor"), ("sensor=%D9%A3", "sensor"), ("sensor=a%00b", "sensor")),
        *(("sensor=", "sensor"), ("limit=5", "limit"), ("last_event_id=x", "last_event_id")),
        *(("last_event_id=AAAAAAAA", "last_event_id"), ("last_event_id=%00", "last_event_id")),
        ("last_event_id=" + "A" * 2000, "last_event_id"),
        ("sensor=1&" * 900 + "sensor=-1", "sensor"),
    ],
)
def test_wrong_parameters_are_named(settings: Settings, query: str, field: str) -> None:
    answer = httpx.get(f"{settings.gateway_url}/v1/stream?{query}", timeout=30)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameters")
    assert {one["field"].partition(".")[0] for one in answer.json()["errors"]} == {field}
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{settings.gateway_url.replace('http', 'ws', 1)}/v1/ws?{query}", open_timeout=30)
    assert refused.value.response.status_code == 422
    assert json.loads(refused.value.response.body) == answer.json()


def test_too_many_sensors_are_refused(settings: Settings) -> None:
    query = "sensor=1&" * 1001
    answer = httpx.get(f"{settings.gateway_url}/v1/stream?{query}", timeout=30)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "sensor")
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{settings.gateway_url.replace('http', 'ws', 1)}/v1/ws?{query}", open_timeout=30)
    assert refused.value.response.status_code == 414


def test_a_changed_id_is_refused(settings: Settings, sensor: int) -> None:
    with ServerSent(settings.gateway_url, sensor=sensor) as client:
        publish(settings, sensor, 1)
        (told,) = client.wait(1, "reading")
    changed = told.id[:5] + ("A" if told.id[5] != "A" else "B") + told.id[6:]
    for headers, parameters in (({"Last-Event-ID": changed}, {}), ({}, {"last_event_id": changed})):
        answer = httpx.get(f"{settings.gateway_url}/v1/stream", headers=headers, params=parameters, timeout=30)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "last_event_id")


def test_head_ends_with_the_head(settings: Settings, sensor: int) -> None:
    with Publisher(settings) as publisher, httpx.Client(base_url=settings.gateway_url, timeout=30) as client:
        for _ in range(10):
            publisher.reading(sensor, time.time(), 20.0)
            head = client.head("/v1/stream")
            assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
            assert client.get("/healthz").json() == {"status": "alive"}


def test_no_page_of_another_origin_opens_a_websocket(settings: Settings) -> None:
    url = f"{settings.gateway_url.replace('http', 'ws', 1)}/v1/ws"
    with pytest.raises(InvalidStatus) as refused:
        connect(url, origin="http://elsewhere.example", open_timeout=30)  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403
    with connect(url, origin=settings.gateway_url, open_timeout=30):  # type: ignore[arg-type]
        """Its own page may."""


def test_what_a_websocket_client_says_means_nothing(settings: Settings, sensor: int) -> None:
    with WebSocket(settings.gateway_url, sensor=sensor) as client:
        for _ in range(5):
            client.connection.send("hello")
        published = publish(settings, sensor, 5)
        client.wait(5, "reading")
        assert client.readings(sensor) == published
        client.connection.send("x" * 100_000)
        eventually(lambda: client.end, "that it is ended")
        assert "1009" in str(client.end)


class TestOwnGateway:
    """A gateway beside the stack's, with settings of its own."""

    @pytest.fixture
    def gateway(self, settings: Settings) -> Iterator[GatewayProcess]:
        more = {**environment(brokers(settings)), "BDEMO_STREAM_CLIENTS": "2"}
        with serving(settings.postgres_dsn, settings=more) as process:
            yield process

    def test_there_are_only_so_many_streams(self, gateway: GatewayProcess) -> None:
        with ServerSent(gateway.url), WebSocket(gateway.url):
            answer = gateway.get("/v1/stream")
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
            assert int(answer.headers["Retry-After"]) > 0
            with pytest.raises(InvalidStatus) as refused:
                connect(f"{gateway.url.replace('http', 'ws', 1)}/v1/ws", open_timeout=30)
            assert refused.value.response.status_code == 429
            assert gateway.metric("bdemo_streams") == 2
        eventually(lambda: gateway.metric("bdemo_streams") == 0, "that both are given back")
        with ServerSent(gateway.url):
            """There is room again."""

    def test_streams_end_with_the_gateway(self, gateway: GatewayProcess) -> None:
        with ServerSent(gateway.url) as client, WebSocket(gateway.url) as too:
            gateway.process.terminate()
            for one in (client, too):
                eventually(lambda one=one: one.end, "the end")  # type: ignore[misc]
                assert one.notices() == ["ending"], (one, one.end)
            assert client.end == "end"
            assert "1012" in str(too.end) or too.end == "end"
        told = gateway.end()
        assert gateway.process.returncode == 143
        assert "cut off" not in told

    def test_an_id_of_one_gateway_is_good_for_another(
        self, settings: Settings, gateway: GatewayProcess, sensor: int
    ) -> None:
        with ServerSent(settings.gateway_url, sensor=sensor) as client:
            publish(settings, sensor, 20)
            told = client.wait(40, "reading", "average")
        with ServerSent(gateway.url, told[4].id, sensor=sensor) as again:
            again.wait(35, "reading", "average")
            for name in ("reading", "average"):
                assert [one.data for one in again.of(name)] == [one.data for one in told[5:] if one.event == name]


def test_the_routes_are_described(settings: Settings) -> None:
    paths = httpx.get(f"{settings.gateway_url}/openapi.json", timeout=30).json()["paths"]
    stream = paths["/v1/stream"]["get"]
    assert list(stream["responses"]["200"]["content"]) == ["text/event-stream"]
    assert "event: reading" in stream["responses"]["200"]["content"]["text/event-stream"]["example"]
    assert {one["name"].lower() for one in stream["parameters"]} >= {
        "topic",
        "sensor",
        "last_event_id",
        "last-event-id",
    }
    assert {"422", "429"} <= set(stream["responses"])
    assert {"200", "422", "503"} <= set(paths["/v1/dead-letters"]["get"]["responses"])
