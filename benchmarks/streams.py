"""Measures the delay and the cost of live streams: `python benchmarks/streams.py --streams 200 --rate 1000`.

Measures the running stack (`bdemo up` first): sensors publish at a fixed rate, and this process reads the streams. An
event's latency counts from its record's time in Kafka; it is taken of the first event, the oldest one, in each piece
that comes from a connection. The first two seconds are left out.

Prints one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import psutil
import uvloop

from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.reading import decode_aggregate
from backend_demo.domain.topics import AGGREGATED_DATA, PROCESSED_DATA
from backend_demo.operations.tail.topic import Since, tail
from backend_demo.settings import Settings, load
from backend_demo.stack.open import open_stack
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN

TOPICS = {b"reading": PROCESSED_DATA, b"average": AGGREGATED_DATA}
FIRST = re.compile(rb'event"?: ?"?(reading|average).{1,400}?"sensor":(\d+),"timestamp":([\d.e+]+)', re.DOTALL)
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n"

Seen = tuple[str, int, float]
"""Topic, sensor and sensor's time of an event."""


class Stream(asyncio.Protocol):
    """One client: it counts events and records when the first one of each piece arrived."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.events = self.bytes = 0
        self.seen: list[tuple[float, Seen]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self.bytes += len(data)
        self.events += data.count(b'"timestamp":')
        first = FIRST.search(data)
        if first is not None:
            self.seen.append((now, (TOPICS[first[1]], int(first[2]), float(first[3]))))


async def streams(url: str, count: int, query: str, *, websocket: bool) -> list[Stream]:
    """Opens that number of streams."""
    address = urlsplit(url)
    path, more = ("/v1/ws", UPGRADE.format("bGl2ZSBzdHJlYW1zISEhIQ==")) if websocket else ("/v1/stream", "")
    request = f"GET {path}{query} HTTP/1.1\r\nHost: {address.netloc}\r\n{more}\r\n".encode()
    opened = []
    for _ in range(count):
        _, protocol = await asyncio.get_running_loop().create_connection(
            lambda: Stream(request), address.hostname, address.port
        )
        opened.append(protocol)
    return opened


async def record_times(settings: Settings, begin: float) -> dict[Seen, float]:
    """Returns when the record of each event was written."""
    found: dict[Seen, float] = {}
    batches = tail(Brokers.of(settings), tuple(TOPICS.values()), Since(begin), follow=False, notify=lambda text: None)
    async with aclosing(batches):
        async for batch in batches:
            for record in batch:
                reading = decode_aggregate(record.value or b"")
                found[record.topic, reading.sensor, reading.timestamp] = record.timestamp or 0.0
    return found


def gateway_process(settings: Settings) -> psutil.Process:
    """Returns the address of the stack's gateway."""
    return psutil.Process(next(one.pid for one in open_stack(settings).status() if one.name == "gateway"))


def quantile(values: list[float], part: float) -> float:
    return round(values[min(len(values) - 1, int(len(values) * part))] * 1000, 1)


async def measure(settings: Settings, wanted: argparse.Namespace, folder: str) -> dict[str, object]:
    gateway = gateway_process(settings)
    opened = await streams(settings.gateway_url, wanted.streams, wanted.query, websocket=wanted.websocket)
    begin, begin_cpu = time.time(), sum(gateway.cpu_times()[:2])
    command = [
        *(sys.executable, "-m", "backend_demo", "simulate", "--sensors", str(wanted.sensors)),
        *("--rate", str(wanted.rate / wanted.sensors), "--duration", str(wanted.duration)),
        *("--state-dir", str(settings.state_dir), "--ledger", str(Path(folder) / "ledger")),
    ]
    simulator = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await simulator.wait()
    seconds, cpu = time.time() - begin, sum(gateway.cpu_times()[:2]) - begin_cpu
    await asyncio.sleep(2)
    times = await record_times(settings, begin - 1)
    latencies = sorted(
        came - times[event] for one in opened for came, event in one.seen if times.get(event, 0) > begin + 2
    )
    return {
        "streams": wanted.streams,
        "events": len(times),
        "events_per_stream": {"least": min(one.events for one in opened), "most": max(one.events for one in opened)},
        "pieces": len(latencies),
        "p50_ms": quantile(latencies, 0.5),
        "p99_ms": quantile(latencies, 0.99),
        "max_ms": quantile(latencies, 1),
        "gateway_cpu_percent": round(100 * cpu / seconds, 1),
        "gateway_memory_mb": round(gateway.memory_info().rss / 2**20, 1),
        "received_mb_per_s": round(sum(one.bytes for one in opened) / seconds / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rate", type=float, default=1000, help="readings per second, over all sensors")
    parser.add_argument("--sensors", type=int, default=100)
    parser.add_argument("--duration", type=float, default=20, help="seconds")
    parser.add_argument("--query", default="", help="of every stream, such as ?topic=readings")
    parser.add_argument("--websocket", action="store_true", help="WebSockets instead of server-sent events")
    parser.add_argument("--state-dir", type=Path)
    wanted = parser.parse_args()
    base = load(state_dir=wanted.state_dir)
    settings = StateDirectory(base.state_dir).attached(base, kafka=KAFKA_ADMIN)
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(settings, wanted, folder)), indent=2))


if __name__ == "__main__":
    main()
