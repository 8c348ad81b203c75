"""What Kafka must hold before others can use it: the pipeline's topics, and the rights of the stack's own users."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from backend_demo.domain.state_log import HORIZON
from backend_demo.domain.topics import AGGREGATION_STATE, PARTITIONS, TOPICS, TopicSpec
from backend_demo.errors import ServiceFailed
from backend_demo.stack.services import kafka_rights
from backend_demo.stack.services.kafka_rights import Right

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

    from backend_demo.adapters.kafka import Brokers


async def nothing_stored() -> float | None:
    """There is no table with readings."""
    return None


def create_topics(
    brokers: Brokers,
    *,
    partitions: int = PARTITIONS,
    replication: int = 1,
    rights: Collection[Right] = (),
    newest: Callable[[], Awaitable[float | None]] = nothing_stored,
) -> list[str]:
    """Gives those rights, creates the pipeline's topics that are missing and returns their names.

    It never changes or deletes a topic. With copies on three brokers, two must have a record before it is acknowledged.
    `newest`: the time of the newest reading that is stored (epoch seconds). An aggregation that begins
    without its state leaves averages up to then to the table: it has not seen those readings. Raises ServiceFailed.
    """
    from aiokafka.errors import KafkaError

    from backend_demo.adapters import kafka, kafka_refusal

    async def provide() -> list[str]:
        async with kafka.admin(brokers, "bdemo-setup", limit_s=30.0, request_timeout_s=20.0) as admin:
            if rights:  # first: services are waiting for the topics
                await kafka_rights.grant(admin, rights)
            found = set(await admin.list_topics())
            missing = [spec for name, spec in TOPICS.items() if name not in found]
            state = [spec for spec in missing if spec.name == AGGREGATION_STATE]
            if state:  # first: the aggregation waits for its other topics
                await _create(admin, state, partitions, replication)
                await _keep_horizon(brokers, await newest(), partitions)
            await _create(admin, [spec for spec in missing if spec not in state], partitions, replication)
            while missing:  # the broker learns of them from its controller
                if set(TOPICS) <= set(await admin.list_topics()):
                    break
                await asyncio.sleep(0.05)
            return [spec.name for spec in missing]

    try:
        return asyncio.run(provide())
    except (KafkaError, OSError, TimeoutError) as problem:
        raise asyncio.run(kafka_refusal.refusal(brokers)) or ServiceFailed(
            f"cannot create the topics: {problem!r}", hint=f"check that Kafka answers at {brokers}"
        ) from problem


async def _create(admin: AIOKafkaAdminClient, specs: Collection[TopicSpec], partitions: int, replication: int) -> None:
    from aiokafka.admin import NewTopic
    from aiokafka.errors import TopicAlreadyExistsError, for_code

    def topic(spec: TopicSpec) -> NewTopic:
        durable = {"min.insync.replicas": "2"} if replication > 2 else {}
        return NewTopic(spec.name, partitions, replication, topic_configs={**spec.config, **durable})

    if specs:
        answer = await admin.create_topics([topic(spec) for spec in specs])
        for name, code, *detail in answer.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                raise for_code(code)(f"{name}: {detail}")


async def _keep_horizon(brokers: Brokers, newest: float | None, partitions: int) -> None:
    if newest is None:
        return
    from backend_demo.adapters import kafka

    producer = kafka.producer(brokers, "bdemo-setup")
    await producer.start()
    try:
        for partition in range(partitions):
            await producer.send_and_wait(AGGREGATION_STATE, b"%r" % newest, HORIZON, partition)
    finally:
        await producer.stop()
