"""The live streams on the real stack: each event once and in order, whatever happens to client, gateway or Kafka."""

import asyncio
import base64
import contextlib
import json
import os
import signal
import threading
import time
from typing import Any

import httpx
import psutil
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from backend_demo.domain.topics import DEAD_LETTER, PROCESSED_DATA
from backend_demo.gateway.live import hub as live
from backend_demo.gateway.live.event import SERVER_SENT, Wanted
from backend_demo.operations.tail import api as tail_api
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from tests.support.kafka import brokers
from tests.support.live import Client, ServerSent, WebSocket, letters, metric, publish, stalled
from tests.support.sensors import Publisher, new_sensor
from tests.support.wait import eventually

pytestmark = pytest.mark.usefixtures("streams_given_back")

FORMS = pytest.mark.parametrize("form", [ServerSent, WebSocket])

#: Letters: more than the newest events that the gateway keeps, 4 MiB, and than what waits for a client on all its way.
FLOOD, FLOOD_STEP = 6000, 600

#: The value of a last reading.
LAST = -50.0


def flood(settings: Settings, sensor: int, beside: Client) -> None:
    """Large dead letters, as fast as a client reads them."""
    had = len(beside.of("dead-letter"))
    for begin in range(0, FLOOD, FLOOD_STEP):
        letters(settings, sensor, FLOOD_STEP, begin)
        beside.wait(had + begin + FLOOD_STEP, "dead-letter")


def numbers(client: Client) -> list[int]:
    """Which letters of the flood it got."""
    return [one.data["offset"] for one in client.of("dead-letter")]


@FORMS
def test_each_reading_and_average_once_in_order(settings: Settings, sensor: int, form: type[Client]) -> None:
    with form(settings.gateway_url) as client:  # type: ignore[call-arg]
        eventually(lambda: metric(settings, "bdemo_streams") == 1, "that it is counted")
        published = publish(settings, sensor, 300)
        eventually(lambda: len(client.readings(sensor)) == 300, "its readings")
        eventually(lambda: len(client.averages(sensor)) == 300, "its averages, of which some may come earlier")
        assert client.readings(sensor) == published
        averages = client.averages(sensor)
        assert [one["timestamp"] for one in averages] == [timestamp for timestamp, _ in published]
        assert averages[-1]["value"] == 94.5
        assert len({one.id for one in client.events}) == len(client.events)


@FORMS
def test_only_what_was_asked_for(settings: Settings, sensor: int, form: type[Client]) -> None:
    other, third = new_sensor(), new_sensor()
    with (
        form(settings.gateway_url, topic="averages", sensor=[sensor, third]) as some,  # type: ignore[call-arg]
        form(settings.gateway_url, topic=["readings", "dead-letters"], sensor=other) as others,  # type: ignore[call-arg]
    ):
        for number in (sensor, other, third):
            publish(settings, number, 5)
        with Publisher(settings) as publisher:
            publisher.raw(f"sensors/{other}/temperature", b"\xff")
            publisher.raw(f"sensors/{sensor}/temperature", b"\xff")
            publisher.settle()
        some.wait(10, "average")
        (letter,) = others.wait(1, "dead-letter")
        others.wait(5, "reading")
    assert some.seen() == {("average", sensor), ("average", third)}
    assert others.seen() == {("reading", other), ("dead-letter", other)}
    assert (letter.data["stage"], letter.data["reason"]) == ("collection", "json")
    assert base64.b64decode(letter.data["payload"]) == b"\xff"


@FORMS
def test_it_resumes_behind_any_event(settings: Settings, sensor: int, form: type[Client]) -> None:
    with form(settings.gateway_url, sensor=sensor) as first:  # type: ignore[call-arg]
        publish(settings, sensor, 20)
        told = first.wait(40, "reading", "average")
    for number in (0, 7, 38):
        with form(settings.gateway_url, told[number].id, sensor=sensor) as again:  # type: ignore[call-arg]
            missing = told[number + 1 :]
            again.wait(len(missing), "reading", "average")
            assert again.of("reading", "average") == missing
    with form(settings.gateway_url, told[-1].id, sensor=sensor) as last:  # type: ignore[call-arg]
        published = publish(settings, sensor, 3)
        last.wait(3, "reading")
        assert last.readings(sensor) == published


def test_a_killed_gateway_costs_no_event_and_repeats_none(settings: Settings, stack: Stack, sensor: int) -> None:
    """The client of `bdemo tail api`, while readings come without a pause."""
    told: list[tail_api.ReceivedEvent] = []
    notices: list[str] = []

    def follow() -> None:
        for event in tail_api.follow(
            settings.gateway_url, topics=["readings"], sensors=[sensor], notify=notices.append
        ):
            told.append(event)
            if json.loads(event.data)["value"] == LAST:
                return

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    published = []

    def go_on() -> int:
        published.extend(publish(settings, sensor, 20))
        return len(told)

    eventually(go_on, "the first event")
    for _ in range(2):
        eventually(stack.status, "a status")
        victim = next(one.pid for one in stack.status() if one.name == "gateway")
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        said = len(notices)
        eventually(lambda said=said: go_on() and tail_api.BACK in notices[said:], "that it is back")  # type: ignore[misc]
    with Publisher(settings) as publisher:
        publisher.reading(sensor, time.time(), LAST)
        publisher.settle()
    reader.join(60)
    assert not reader.is_alive()
    data = [json.loads(event.data) for event in told]
    got = [(one["timestamp"], one["value"]) for one in data]
    assert got[:-1] == published[published.index(got[0]) :]
    ours = [notice for notice in notices if notice in (tail_api.AWAY, tail_api.BACK)]
    assert ours == [tail_api.AWAY, tail_api.BACK] * 2


def test_one_who_missed_much_reads_it_all_without_delaying_others(settings: Settings, sensor: int) -> None:
    """From before what the gateway keeps in memory: Kafka is read again, and joined without a gap."""
    other = new_sensor()
    with ServerSent(settings.gateway_url, sensor=sensor) as first:
        letters(settings, sensor, 1)
        (begin,) = first.wait(1, "dead-letter")
        flood(settings, sensor, first)
    with (
        ServerSent(settings.gateway_url, begin.id, sensor=[sensor, other]) as again,
        WebSocket(settings.gateway_url, begin.id, sensor=[sensor, other]) as too,
        ServerSent(settings.gateway_url, sensor=other) as live,
    ):
        published = publish(settings, other, 200)
        for client in (again, too, live):
            client.wait(200, "reading")
            assert client.readings(other) == published
        for client in (again, too):
            assert sorted(numbers(client)) == list(range(FLOOD))
            assert numbers(client)[:8] == sorted(numbers(client)[:8])
            assert not client.notices()


@pytest.mark.parametrize("path", ["/v1/stream", "/v1/ws"])
def test_a_client_that_does_not_read_is_dropped_and_no_other(
    settings: Settings, stack: Stack, sensor: int, path: str
) -> None:
    gateway = psutil.Process(next(one.pid for one in stack.status() if one.name == "gateway"))
    memory, dropped = gateway.memory_info().rss, metric(settings, "bdemo_streams_dropped_total")
    with stalled(settings.gateway_url, path) as client, ServerSent(settings.gateway_url, sensor=sensor) as beside:
        eventually(lambda: metric(settings, "bdemo_streams") == 2, "that both are there")
        flood(settings, sensor, beside)
        assert sorted(numbers(beside)) == list(range(FLOOD))
        eventually(lambda: metric(settings, "bdemo_streams") == 1, "that the other one is given up")
        assert metric(settings, "bdemo_streams_dropped_total") == dropped + 1
        assert not beside.notices()
        # it was cut: what had been sent before is all that it gets
        with contextlib.suppress(ConnectionResetError):
            while client.recv(65_536):
                """Not the end yet."""
    assert gateway.memory_info().rss - memory < 64 * 2**20


def test_kafka_goes_and_comes_back(settings: Settings, stack: Stack, sensor: int) -> None:
    with (
        ServerSent(settings.gateway_url, sensor=sensor) as client,
        WebSocket(settings.gateway_url, sensor=sensor) as too,
    ):
        before = publish(settings, sensor, 10)
        last = client.wait(20, "reading", "average")[-1].id
        stack.stop("kafka")
        try:
            client.wait(1, "notice")
            answer = httpx.get(f"{settings.gateway_url}/v1/dead-letters", timeout=30)
            assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            # one that is opened now waits, with a notice instead of an error: a browser would not try again
            with ServerSent(settings.gateway_url, last, sensor=sensor) as late:
                late.wait(1, "notice")
                assert late.notices() == ["kafka_away"]
        finally:
            stack.start("kafka")
        after = publish(settings, sensor, 10)
        for one in (client, too):
            one.wait(20, "reading")
            assert one.readings(sensor) == before + after
            # it may go and come several times until it serves
            assert one.notices() == ["kafka_away", "kafka_back"] * max(1, len(one.notices()) // 2)
    assert httpx.get(f"{settings.gateway_url}/v1/dead-letters", timeout=30).status_code == 200


def test_what_kafka_does_not_keep_is_told_as_a_gap(settings: Settings, sensor: int) -> None:
    with ServerSent(settings.gateway_url, sensor=sensor) as first:
        letters(settings, sensor, 8)
        begin = first.wait(8, "dead-letter")[0]
        flood(settings, sensor, first)

    async def delete() -> None:
        admin = AIOKafkaAdminClient(**brokers(settings).connection())
        await admin.start()
        try:
            every = {TopicPartition(DEAD_LETTER, number): RecordsToDelete(-1) for number in range(4)}
            await admin.delete_records(every)
        finally:
            await admin.close()

    asyncio.run(delete())
    with ServerSent(settings.gateway_url, begin.id, sensor=sensor) as again:
        letters(settings, sensor, 8)
        again.wait(8 + FLOOD // 2, "dead-letter")
        assert again.notices() == ["gap"]
        assert again.events[0].event == "notice"
        assert "3" in again.events[0].data["detail"]
        kept = [number for number in numbers(again) if number >= 8]
        assert sorted(kept) == [number for number in range(8, FLOOD) if number % 8 >= 4]


def test_who_comes_after_a_pause_is_told_of_nothing_in_it(
    settings: Settings, sensor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody listens nothing is read, and it is not made up for later."""
    monkeypatch.setattr(live, "LINGER_S", 0.0)
    wanted = Wanted(frozenset((PROCESSED_DATA,)), frozenset((sensor,)))

    async def told(hub: live.Live, begin: float) -> bytes:
        """What a client gets that listens while there is one reading."""
        with hub.client(SERVER_SENT, wanted, live=True) as client:
            await hub._reading.wait()
            await asyncio.to_thread(publish, settings, sensor, 1, begin)
            while not (piece := await client.take(1)):
                """Not yet."""
            return piece

    async def run() -> None:
        hub = live.Live(brokers(settings), clients_max=1)
        reading = asyncio.create_task(hub.run())
        async with asyncio.timeout(120):
            for begin in (1_700_000_000.0, 1_700_000_010.0):
                piece = await told(hub, begin)
                assert piece.count(b"event: reading") == 1
                assert b'"timestamp":%.1f,' % begin in piece
                while hub._reading.is_set():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                await asyncio.to_thread(publish, settings, sensor, 1, begin + 1)
        reading.cancel()
        await asyncio.wait([reading])

    asyncio.run(run())


def test_the_command(settings: Settings, bdemo: Any, sensor: int) -> None:
    with ServerSent(settings.gateway_url, sensor=sensor) as client:
        publish(settings, sensor, 1)
        first = client.wait(2, "reading", "average")[-1]
        published = publish(settings, sensor, 3)
        with Publisher(settings) as publisher:
            publisher.raw(f"sensors/{sensor}/temperature", b"\xff\x1b[2J")
            publisher.settle()
        client.wait(4, "average")
        client.wait(1, "dead-letter")
    words = ("tail", "api", "--sensor", str(sensor), "--last-event-id", first.id)
    lines = [json.loads(line) for line in bdemo(*words, "-n", "2", "-t", "readings", "-o", "json").stdout.splitlines()]
    assert [(one["data"]["timestamp"], one["data"]["value"]) for one in lines] == published[:2]
    values = bdemo(*words, "-n", "2", "-t", "readings", "-o", "value").stdout.splitlines()
    assert [json.loads(line) for line in values] == [one["data"] for one in lines]
    pretty = bdemo(*words, "-n", "1", "-t", "readings").stdout.split()
    assert pretty[1:] == ["reading", str(sensor), "0"]
    (refused,) = bdemo(*words, "-n", "1", "-t", "dead-letters").stdout.splitlines()
    assert "json in collection, from sensor-data" in refused
    assert refused.endswith(r"\xff\x1b[2J")
    told = bdemo("tail", "api", "--last-event-id", "x", code=2)
    assert told.stderr.startswith("error: --last-event-id: is not an id of this stream\nhint: ")
    told = bdemo("tail", "api", "--url", "http://127.0.0.1:1", code=5)
    assert told.stderr.startswith("error: the gateway does not answer at http://127.0.0.1:1\nhint: ")
