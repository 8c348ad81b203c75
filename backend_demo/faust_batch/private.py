"""Every private name of Faust and aiokafka that the transport relies on, checked at start; versions are pinned."""

from __future__ import annotations

import inspect
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.producer.message_accumulator import BatchBuilder
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver

#: Methods that the transport overrides or calls: owner, name, parameters.
NAMES: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (Consumer, "_drain_messages", ("self", "fetcher")),
    (Consumer, "_wait_next_records", ("self", "timeout")),
    (Consumer, "force_commit", ("self", "topics", "start_new_transaction")),
    (Consumer, "on_partitions_revoked", ("self", "revoked")),
    (Consumer, "maybe_wait_for_commit_to_finish", ("self",)),
    (Consumer, "resume_flow", ("self",)),
    (Consumer, "stop_flow", ("self",)),
    (ThreadDelegateConsumer, "_commit", ("self", "offsets")),
    (ThreadDelegateConsumer, "seek_to_committed", ("self",)),
    (driver.Consumer, "_new_consumer_thread", ("self",)),
    (driver.AIOKafkaConsumerThread, "seek", ("self", "partition", "offset")),
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ("self", "transport")),
    (Recovery, "_wait", ("self", "coro", "timeout")),
    (FetchResult, "getall", ("self", "max_records")),
    (FetchResult, "check_assignment", ("self", "tp")),
    (FetchResult, "has_more", ("self",)),
)

#: Attributes that the transport uses, and the methods whose source sets them.
ATTRIBUTES: tuple[tuple[Any, str], ...] = (
    (ThreadDelegateConsumer.__init__, "self._thread"),
    (driver.AIOKafkaConsumerThread.on_start, "self._consumer"),
    (TableManager.recovery.fget, "self._recovery"),
    (AIOKafkaConsumer.__init__, "self._subscription"),
    (AIOKafkaConsumer.__init__, "self._client"),
    (AIOKafkaConsumer.start, "self._coordinator"),
    (AIOKafkaConsumer.start, "self._fetcher"),
    (Fetcher.__init__, "self._records = collections.OrderedDict()"),
    (Fetcher.__init__, "self._fetch_min_bytes"),
    (Fetcher.__init__, "self._fetch_max_wait_ms"),
    (FetchResult.__init__, "self._topic_partition"),
    (FetchResult.__init__, "self._assignment"),
    (FetchResult.__init__, "self._partition_records"),
    (PartitionRecords.__init__, "self._records"),
    (PartitionRecords.__init__, "self._check_crcs"),
    (PartitionRecords.__init__, "self._isolation_level"),
    (PartitionRecords.__init__, "self.next_fetch_offset"),
    (BatchBuilder.__init__, "self._builder"),
    (BatchBuilder.__init__, "self._relative_offset"),
)


def check() -> None:
    """Raises RuntimeError when the installed Faust or aiokafka lacks something that the transport relies on."""
    for owner, name, parameters in NAMES:
        found = getattr(owner, name, None)
        if found is None or tuple(inspect.signature(inspect.unwrap(found)).parameters) != parameters:
            raise RuntimeError(f"{owner.__module__}.{owner.__qualname__}.{name}{parameters} is missing or has changed")
    for method, attribute in ATTRIBUTES:
        if attribute not in inspect.getsource(method):
            raise RuntimeError(f"{method.__module__}.{method.__qualname__} does not set {attribute}")
