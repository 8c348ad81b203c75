"""What Kafka allows a client to do with topics: without a right that it needs, it would try again for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers
from backend_demo.errors import ServiceFailed

#: How long rights may be missing, seconds: those of a stack that comes up are given while its services start.
GIVEN_WITHIN_S = 20.0
AGAIN_S = 0.5

#: What a broker answers that does not say which operations it allows.
_UNKNOWN = -(2**31)

#: The bits of the answer, as Kafka numbers its operations.
READ, WRITE = 1 << 3, 1 << 4


class MetadataResponse_v8(Response):  # type: ignore[misc]  # aiokafka is untyped
    """Topics with the operations that are allowed: aiokafka's own versions end before there was that."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node", Int32), ("host", String()), ("port", Int32), ("rack", String()))),
        ("cluster_id", String()),
        ("controller", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", String()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("in_sync", Array(Int32)),
                        ("offline", Array(Int32)),
                    ),
                ),
                ("allowed", Int32),
            ),
        ),
        ("allowed_in_cluster", Int32),
    )


class MetadataRequest_v8(RequestStruct):  # type: ignore[misc]
    """Asks for these topics."""

    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse_v8
    SCHEMA = Schema(
        ("topics", Array(String())),
        ("may_create", Boolean),
        ("with_operations_in_cluster", Boolean),
        ("with_operations", Boolean),
    )


class _Metadata(Request[MetadataRequest_v8]):  # type: ignore[misc]
    API_KEY = MetadataRequest_v8.API_KEY

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[MetadataRequest_v8]) -> MetadataRequest_v8:
        return request_struct_class(self._topics, False, False, True)


async def operations(brokers: Brokers, topics: Collection[str]) -> dict[str, int]:
    """The operations that the client is allowed with each topic, as bits; only where Kafka says it.

    Raises KafkaError, OSError.
    """
    async with kafka.admin(brokers, "bdemo-rights", limit_s=30.0, request_timeout_s=20.0) as admin:
        try:
            answer = await admin._send_request(_Metadata(topics))
        except (IncompatibleBrokerVersion, NotImplementedError):  # older than 2.3
            return {}
    return {
        name: max(0, allowed)
        for error, name, _, _, allowed in answer.topics
        if (error == 0 and allowed != _UNKNOWN) or error == TopicAuthorizationFailedError.errno
    }


async def until_allowed(brokers: Brokers, *, reads: Collection[str], writes: Collection[str]) -> None:
    """Returns when the client may read and write these topics, or Kafka does not say whether it may.

    Raises ServiceFailed when a right is still missing after GIVEN_WITHIN_S.
    """
    since: float | None = None
    while True:
        allowed = None
        try:
            allowed = await operations(brokers, {*reads, *writes})
        except (KafkaError, OSError):
            since = None
        if allowed is not None:
            missing = {
                "read": [topic for topic in reads if not allowed.get(topic, READ) & READ],
                "write": [topic for topic in writes if not allowed.get(topic, WRITE) & WRITE],
            }
            if not any(missing.values()):
                return
            since = since or time.monotonic()
            if time.monotonic() - since > GIVEN_WITHIN_S:
                denied = " or ".join(f"{right} {', '.join(topics)}" for right, topics in missing.items() if topics)
                raise ServiceFailed(
                    f"Kafka does not allow {brokers.username or 'this client'} to {denied}",
                    hint="docs/reference/kafka.md lists the rights that each service needs",
                )
        await asyncio.sleep(AGAIN_S)
