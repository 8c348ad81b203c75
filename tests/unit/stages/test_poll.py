"""poll asks a device on a socket, and writes what it answers as its sensor would have published it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from faust.types import TP

from backend_demo.domain.topics import DEAD_LETTER, PARTITIONS, SENSOR_DATA
from backend_demo.faust_batch.producer import partition_of
from backend_demo.settings import Settings
from backend_demo.settings_poll import PollSetting
from backend_demo.stages import poll
from tests.support.kafka_log import Log, LogProducer, Record

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


class Device:
    """Answers each request with the next answer, and with the last one from then on."""

    def __init__(self, *answers: bytes, delay_s: float = 0.0) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.at_once = self.most_at_once = 0
        self._delay_s = delay_s
        self.asked_twice = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        if len(self.requests) == 2:
            self.asked_twice.set()
        await asyncio.sleep(self._delay_s)
        writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        self.at_once -= 1
        writer.close()


Use = Callable[[Callable[..., poll.Poller]], Awaitable[None]]


def asked(device: Device, use: Use) -> Log:
    """Kafka's log after `use` has used pollers of this device."""
    log = Log()

    async def run() -> None:
        server = await asyncio.start_server(device.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/state?key=secret"
        turn = asyncio.Lock()
        async with server, httpx.AsyncClient(trust_env=False) as client:

            def poller(**fields: Any) -> poll.Poller:
                setting = PollSetting(**{"url": url, "sensor": "kitchen", "value": "temperature", **fields})
                producer: Any = LogProducer(log)
                return poll.Poller(setting, Settings(), client, producer, turn)

            await use(poller)

    asyncio.run(run())
    return log


def once(*answers: bytes, times: int = 1, **fields: Any) -> tuple[Log, Device]:
    device = Device(*answers)

    async def use(poller: Callable[..., poll.Poller]) -> None:
        one = poller(**fields)
        for _ in range(times):
            await one.once()

    return asked(device, use), device


def records(log: Log, topic: str) -> list[tuple[int, Record]]:
    return [(tp.partition, record) for tp, found in log.records.items() if tp.topic == topic for record in found]


def test_an_answer_becomes_a_record_as_the_sensor_would_have_published_it() -> None:
    before = time.time()
    log, device = once(OK + b'{"temperature": 68}', unit="F", headers={"X-Key": "abc"})
    [(partition, record)] = records(log, SENSOR_DATA)
    assert record.key == b"sensors/kitchen/temperature"
    assert partition == partition_of(record.key, PARTITIONS)
    payload = json.loads(record.value or b"")
    assert payload["value"] == 20
    assert before - 0.001 <= payload["timestamp"] <= time.time() + 0.001
    assert b"GET /state?key=secret HTTP/1.1" in device.requests[0]
    assert b"X-Key: abc" in device.requests[0]


def test_the_sensor_and_the_time_may_be_in_the_answer() -> None:
    answer = OK + b'{"id": 17, "t": {"c": 21.5}, "at": 1600000000250}'
    log, _ = once(answer, sensor="attic-{id}", value="t.c", time="at", time_format="ms")
    [(_, record)] = records(log, SENSOR_DATA)
    assert (record.key, record.value) == (b"sensors/attic-17/temperature", b'{"value":21.5,"timestamp":1600000000.25}')


@pytest.mark.parametrize(
    ("body", "fields", "reason"),
    [
        (b"<html>", {}, "json"),
        (b"{}", {}, "field"),
        (b'{"temperature": "warm"}', {}, "value"),
        (b'{"temperature": 1, "id": "a/b"}', {"sensor": "{id}"}, "topic"),
        (b'{"temperature": 1, "at": 1}', {"time": "at"}, "old"),
    ],
)
def test_an_answer_that_is_no_reading_is_a_dead_letter(body: bytes, fields: dict[str, str], reason: str) -> None:
    log, _ = once(OK + body, **fields)
    assert records(log, SENSOR_DATA) == []
    [(_, letter)] = records(log, DEAD_LETTER)
    headers = dict(letter.headers)
    assert (letter.value, headers["stage"], headers["reason"]) == (body, b"poll", reason.encode())
    assert headers["origin-topic"].endswith(b"/state")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not HTTP\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nConnection: close\r\n\r\n",
        OK + b"x" * (poll.ANSWER_MAX + 1),
    ],
)
def test_without_an_answer_nothing_is_written_and_it_is_logged_once(
    answer: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = poll.metrics.polls.labels("failed")
    before = failed._value.get()
    log, device = once(answer, answer, answer, OK + b'{"temperature": 1}', times=4)
    assert failed._value.get() == before + 3
    assert len(device.requests) == 4
    assert len(records(log, SENSOR_DATA)) == 1
    said = capsys.readouterr()
    text = said.out + said.err
    assert (text.count("poll failed"), text.count("poll works again")) == (1, 1)
    assert "secret" not in text


def test_a_device_that_does_not_answer_in_time_has_failed() -> None:
    device = Device(OK, delay_s=5)

    async def use(poller: Callable[..., poll.Poller]) -> None:
        began = time.monotonic()
        await poller(timeout_s=0.1).once()
        assert time.monotonic() - began < 4

    assert asked(device, use).records == {}


def test_one_request_at_a_time_for_each_url() -> None:
    device = Device(OK + b'{"temperature": 1}', delay_s=0.05)

    async def use(poller: Callable[..., poll.Poller]) -> None:
        await asyncio.gather(*(poller(sensor=str(number)).once() for number in range(4)))

    assert sum(map(len, asked(device, use).records.values())) == 4
    assert device.most_at_once == 1


def test_it_asks_again_after_the_interval() -> None:
    device = Device(OK + b'{"temperature": 1}')

    async def use(poller: Callable[..., poll.Poller]) -> None:
        running = asyncio.ensure_future(poller(interval_s=1).run())
        await device.asked_twice.wait()
        running.cancel()

    began = time.monotonic()
    asked(device, use)
    assert time.monotonic() - began >= 0.9


def test_records_of_a_sensor_are_in_the_partition_of_its_topic() -> None:
    found = poll.to_records([poll.Mapped("7", 1.6e9, 21.0)])
    assert {TP(*target) for target in found} == {TP(SENSOR_DATA, partition_of(b"sensors/7/temperature", PARTITIONS))}
