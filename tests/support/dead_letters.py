"""Dead letters of a running stack: made by publishing, or written straight into Kafka."""

from __future__ import annotations

import asyncio

import httpx
from aiokafka import AIOKafkaProducer

from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.topics import DEAD_LETTER
from backend_demo.settings import Settings
from tests.support.kafka import brokers
from tests.support.sensors import Publisher
from tests.support.wait import eventually


def refused(settings: Settings, sensor: int, payloads: dict[str, bytes]) -> dict[str, str]:
    """Publishes these payloads, each of which is refused for a reason; the ids of their dead letters, by reason."""
    with Publisher(settings) as publisher:
        for payload in payloads.values():
            publisher.raw(f"sensors/{sensor}/temperature", payload)
        publisher.settle()

    def there() -> dict[str, str] | None:
        answer = httpx.get(f"{settings.gateway_url}/v1/dead-letters", params={"sensor": sensor}, timeout=30).json()
        found = {letter["reason"]: letter["id"] for letter in answer["dead_letters"]}
        return found if found.keys() == payloads.keys() else None

    found: dict[str, str] = eventually(there, "the dead letters")
    return found


def written(settings: Settings, letters: list[DeadLetter]) -> None:
    """Writes dead letters straight into Kafka."""

    async def send() -> None:
        producer = AIOKafkaProducer(**brokers(settings).connection(), linger_ms=20)
        await producer.start()
        try:
            for number, letter in enumerate(letters):
                await producer.send(
                    DEAD_LETTER, letter.value(), letter.record_key(), number % 8, headers=letter.headers()
                )
            await producer.flush()
        finally:
            await producer.stop()

    asyncio.run(send())


def warm(sensor: int, timestamp: float) -> DeadLetter:
    raw = b'{"value": "warm", "timestamp": %r}' % timestamp
    return DeadLetter("collection", "value", "a test", raw, b"sensors/%d/temperature" % sensor, "sensor-data", 0, 0)
