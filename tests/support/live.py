"""Clients of the live streams, each in its own thread, and readings for them."""

import abc
import asyncio
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from aiokafka import AIOKafkaProducer
from httpx_sse import EventSource
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.reading import normalized
from backend_demo.domain.topics import DEAD_LETTER
from backend_demo.settings import Settings
from tests.support.kafka import brokers
from tests.support.sensors import Publisher


@dataclass(frozen=True)
class Received:
    """An event as a client received it."""

    event: str
    id: str
    data: Any


class Client(abc.ABC):
    """Reads one stream until it ends, or until it is closed here."""

    def __init__(self) -> None:
        self.events: list[Received] = []
        self.opened = threading.Event()
        self.end: str | None = None
        """Why no more events come: `end`, or the error."""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Client":
        self._thread.start()
        assert self.opened.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._thread.join(30)

    def of(self, *names: str) -> list[Received]:
        """The events of these names."""
        return [one for one in list(self.events) if one.event in names]

    def seen(self) -> set[tuple[str, int]]:
        """Each pair of an event's name and a sensor that has come; notices have no sensor."""
        return {(one.event, one.data["sensor"]) for one in self.of("reading", "average", "dead-letter")}

    def notices(self) -> list[str]:
        return [one.data["code"] for one in self.of("notice")]

    def readings(self, sensor: int) -> list[tuple[float, float]]:
        return [
            (one.data["timestamp"], one.data["value"]) for one in self.of("reading") if one.data["sensor"] == sensor
        ]

    def averages(self, sensor: int) -> list[dict[str, Any]]:
        return [one.data for one in self.of("average") if one.data["sensor"] == sensor]

    def wait(self, count: int, *names: str) -> list[Received]:
        """The events of these names, once there are `count` of them."""
        deadline = time.monotonic() + 60
        while len(self.of(*names)) < count:
            found = f"{len(self.of(*names))} of {count} {names}; {self.end}; {self.notices()}"
            assert self.end is None, found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return self.of(*names)

    def _run(self) -> None:
        try:
            self._read()
        except (httpx.HTTPError, ConnectionClosed, OSError) as problem:
            self.end = f"{type(problem).__name__}: {problem}"
        else:
            self.end = "end"
        finally:
            self.opened.set()

    @abc.abstractmethod
    def _read(self) -> None:
        """Collects events until the stream ends."""

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the connection."""


class ServerSent(Client):
    """/v1/stream."""

    def __init__(self, url: str, last_id: str = "", **parameters: Any) -> None:
        super().__init__()
        self._url, self._parameters = url, parameters
        self._headers = {"Last-Event-ID": last_id} if last_id else {}
        self._socket: socket.socket | None = None

    def _read(self) -> None:
        with (
            httpx.Client(timeout=60) as client,
            client.stream("GET", f"{self._url}/v1/stream", params=self._parameters, headers=self._headers) as response,
        ):
            assert response.status_code == 200, response.read()
            self._socket = response.extensions["network_stream"].get_extra_info("socket")
            self.opened.set()
            for event in EventSource(response).iter_sse():
                self.events.append(Received(event.event, event.id, event.json()))

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class WebSocket(Client):
    """/v1/ws."""

    def __init__(self, url: str, last_id: str = "", **parameters: Any) -> None:
        super().__init__()
        if last_id:
            parameters["last_event_id"] = last_id
        self._url = f"{url.replace('http', 'ws', 1)}/v1/ws?{httpx.QueryParams(parameters)}"
        self.connection: Any = None

    def _read(self) -> None:
        with connect(self._url, open_timeout=30, max_size=None) as self.connection:
            self.opened.set()
            for message in self.connection:
                event = json.loads(message)
                assert list(event) == ["event", "id", "data"]
                self.events.append(Received(**event))

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


@contextlib.contextmanager
def stalled(url: str, path: str) -> Iterator[socket.socket]:
    """A client that sends a request and never reads the answer; its buffer is small."""
    address = urlsplit(url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect((address.hostname, address.port))
        upgrade = (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: bGl2ZSBzdHJlYW1zISEhIQ==\r\n"
            if path.startswith("/v1/ws")
            else ""
        )
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n{upgrade}\r\n".encode())
        yield client


def metric(settings: Settings, line: str) -> float:
    """The value of one metric of the stack's gateway; 0 when there is none."""
    text = httpx.get(f"http://127.0.0.1:{settings.gateway_stats_port}/metrics", timeout=30).text
    found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def publish(settings: Settings, sensor: int, count: int, begin: float | None = None) -> list[tuple[float, float]]:
    """Readings in the order of their times, each acknowledged."""
    first = time.time() - 1 if begin is None else begin
    readings = [(normalized(first + i / 1000), float(i % 100)) for i in range(count)]
    with Publisher(settings) as publisher:
        for timestamp, value in readings:
            publisher.reading(sensor, timestamp, value)
        publisher.settle()
    return readings


#: Size of one of the large dead letters.
LETTER_BYTES = 1900


def letters(settings: Settings, sensor: int, count: int, begin: int = 0) -> None:
    """Large dead letters, straight into Kafka, over all partitions."""

    async def send() -> None:
        producer = AIOKafkaProducer(**brokers(settings).connection(), linger_ms=20, max_batch_size=500_000)
        await producer.start()
        try:
            for number in range(begin, begin + count):
                raw = b"%d " % number + b"x" * LETTER_BYTES
                letter = DeadLetter("collection", "json", "a test", raw, b"%d" % sensor, "sensor-data", 0, number)
                await producer.send(
                    DEAD_LETTER, letter.value(), letter.record_key(), number % 8, headers=letter.headers()
                )
            await producer.flush()
        finally:
            await producer.stop()

    asyncio.run(send())
