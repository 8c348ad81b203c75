"""What Kafka must hold before others can use it: the pipeline's topics, and the rights of the stack's own users."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

from backend_demo.domain.topics import PARTITIONS, TOPICS, TopicSpec
from backend_demo.errors import ServiceFailed
from backend_demo.stack.services import kafka_rights
from backend_demo.stack.services.kafka_rights import Right

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

    from backend_demo.adapters.kafka import Brokers


def create_topics(
    brokers: Brokers, *, partitions: int = PARTITIONS, replication: int = 1, rights: Collection[Right] = ()
) -> list[str]:
    """Gives those rights, creates the pipeline's topics that are missing and returns their names.

    It never changes or deletes a topic. With copies on three brokers, two must have a record before it is acknowledged.
    Raises ServiceFailed.
    """
    from aiokafka.errors import KafkaError

    from backend_demo.adapters import kafka, kafka_refusal

    async def provide() -> list[str]:
        async with kafka.admin(brokers, "bdemo-setup", limit_s=30.0, request_timeout_s=20.0) as admin:
            if rights:  # first: services are waiting for the topics
                await kafka_rights.grant(admin, rights)
            return await _create(admin, partitions, replication)

    try:
        return asyncio.run(provide())
    except (KafkaError, OSError, TimeoutError) as problem:
        raise asyncio.run(kafka_refusal.refusal(brokers)) or ServiceFailed(
            f"cannot create the topics: {problem!r}", hint=f"check that Kafka answers at {brokers}"
        ) from problem


async def _create(admin: AIOKafkaAdminClient, partitions: int, replication: int) -> list[str]:
    from aiokafka.admin import NewTopic
    from aiokafka.errors import TopicAlreadyExistsError, for_code

    def topic(spec: TopicSpec) -> NewTopic:
        durable = {"min.insync.replicas": "2"} if replication > 2 else {}
        return NewTopic(spec.name, partitions, replication, topic_configs={**spec.config, **durable})

    found = set(await admin.list_topics())
    missing = [spec for name, spec in TOPICS.items() if name not in found]
    if missing:
        answer = await admin.create_topics([topic(spec) for spec in missing])
        for name, code, *detail in answer.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                raise for_code(code)(f"{name}: {detail}")
    return [spec.name for spec in missing]
