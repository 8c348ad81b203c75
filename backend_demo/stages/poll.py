"""poll: HTTP -> `sensor-data`. Asks devices and services that do not send by themselves."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import structlog

from backend_demo import metrics
from backend_demo.adapters.backoff import Backoff
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.mapping import Mapped
from backend_demo.domain.names import name_problem
from backend_demo.domain.reading import Rejected, TimeLimits
from backend_demo.domain.topics import DEAD_LETTER, PARTITIONS, SENSOR_DATA, mqtt_topic
from backend_demo.faust_batch.producer import BatchProducer, Message, partition_of
from backend_demo.http_client import httpx
from backend_demo.settings import Settings
from backend_demo.settings_poll import PollSetting
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.stages.runtime.sink import count_dead_letters, dead_letter_messages
from backend_demo.stages.runtime.worker import check_topics

log = structlog.get_logger(__name__)

SERVICE = "poll"
#: Longest pause after failures, seconds, unless the interval is longer.
PAUSE_MAX_S = 300.0
#: Connections at once, to all devices together.
CONNECTIONS_MAX = 100
#: Largest answer, bytes.
ANSWER_MAX = 262_144


class PollFailed(Exception):
    """A request had no answer that can be read."""


@dataclass(frozen=True)
class PollAnswer:
    """The body of an answer, and when it had arrived, epoch seconds of a whole millisecond."""

    body: bytes
    arrived: float


class _Payload(msgspec.Struct, gc=False):
    value: float
    timestamp: float


_encode = msgspec.json.Encoder().encode


class Poller:
    """Asks one device again and again: one request at a time, less often while it fails."""

    def __init__(
        self,
        poll: PollSetting,
        settings: Settings,
        client: httpx.AsyncClient,
        producer: BatchProducer,
        turn: asyncio.Lock,
    ) -> None:
        """`turn`: held during a request, by all pollers of one URL."""
        self._poll, self._settings = poll, settings
        self._client, self._producer, self._turn = client, producer, turn
        self._mapping = poll.compiled()
        self._backoff = Backoff(poll.interval_s, max(poll.interval_s, PAUSE_MAX_S), spread=0.25)
        self._failures = 0

    async def run(self) -> None:
        """Never returns."""
        while True:
            begin = time.monotonic()
            await self.once()
            pause_s = self._poll.interval_s
            if self._failures:
                pause_s = max(pause_s, self._backoff.delay_s(self._failures, random.random()))  # noqa: S311 - no secret
            await asyncio.sleep(max(0.0, begin + pause_s - time.monotonic()))

    async def once(self) -> None:
        """Asks once, and returns when Kafka has acknowledged what came of it."""
        try:
            async with self._turn:
                answer = await ask(self._client, self._poll)
        except PollFailed as problem:
            metrics.polls.labels("failed").inc()
            self._failures += 1
            if self._failures == 1:
                log.warning("poll failed", url=self._poll.shown_url, reason=str(problem))
            return
        if self._failures:
            log.info("poll works again", url=self._poll.shown_url, failures=self._failures)
            self._failures = 0
        found = self._read(answer)
        if isinstance(found, Rejected):
            letter = DeadLetter(SERVICE, found.reason, found.detail, found.raw, self._key(), self._poll.shown_url)
            await self._producer.send(dead_letter_messages([letter]))
            count_dead_letters(SERVICE, [letter])
            metrics.polls.labels("refused").inc()
        else:
            await self._producer.send(to_records([found]))
            metrics.polls.labels("read").inc()

    def _read(self, answer: PollAnswer) -> Mapped | Rejected:
        now = time.time()
        limits = TimeLimits(now, self._settings.future_tolerance_s, self._settings.earliest(now))
        found = self._mapping.read(self._poll.topic, answer.body, arrived=answer.arrived, limits=limits)
        if isinstance(found, Mapped) and (problem := name_problem(found.sensor)):
            return Rejected("topic", f"invalid sensor: {problem}", answer.body)
        return found

    def _key(self) -> bytes | None:
        """The key of a dead letter, when the sensor is known without the answer."""
        return None if "{" in self._poll.sensor else mqtt_topic(self._poll.sensor).encode()


async def ask(client: httpx.AsyncClient, poll: PollSetting) -> PollAnswer:
    """One GET. Raises PollFailed: no answer in time, another status than 2xx, or a body larger than ANSWER_MAX."""
    body = b""
    headers = {"Accept-Encoding": "identity", **poll.headers}  # so that a small answer cannot unpack to a large one
    try:
        async with (
            asyncio.timeout(poll.timeout_s),
            client.stream("GET", poll.url, headers=headers, timeout=poll.timeout_s) as response,
        ):
            if not response.is_success:
                raise PollFailed(f"status {response.status_code}")
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > ANSWER_MAX:
                    raise PollFailed(f"more than the {ANSWER_MAX} bytes allowed")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as problem:
        raise PollFailed(str(problem) or type(problem).__name__) from problem
    except TimeoutError as problem:
        raise PollFailed(f"no answer within {poll.timeout_s:g} s") from problem
    return PollAnswer(body, round(time.time(), 3))


def to_records(found: Sequence[Mapped]) -> dict[tuple[str, int], list[Message]]:
    """Readings as records of `sensor-data`, as if their sensor had published them over MQTT."""
    records: dict[tuple[str, int], list[Message]] = {}
    for each in found:
        key = mqtt_topic(each.sensor).encode()
        target = (SENSOR_DATA, partition_of(key, PARTITIONS))
        records.setdefault(target, []).append((key, _encode(_Payload(each.value, each.timestamp))))
    return records


async def main(settings: Settings, process: ServiceProcess, stop: asyncio.Event) -> None:
    """Runs the service until `stop` is set. Raises what check_topics raises."""
    producer = BatchProducer(**Brokers.of(settings).connection(), client_id="bdemo-poll")
    turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
    limits = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX)
    ready = metrics.service_ready.labels(SERVICE)
    try:
        await producer.start()
        await check_topics(producer, (SENSOR_DATA, DEAD_LETTER))
        async with httpx.AsyncClient(trust_env=False, limits=limits) as client:
            pollers = [Poller(poll, settings, client, producer, turns[poll.url]) for poll in settings.poll]
            ready.set(1)
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(poller.run()) for poller in pollers]
                await stop.wait()
                for task in running:
                    task.cancel()
    finally:
        ready.set(0)
        await producer.stop()
