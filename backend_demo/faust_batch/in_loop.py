"""Faust's consumer thread without the thread."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiokafka import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver

from backend_demo.faust_batch.fetch import take_whole_batches


class InLoop(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """aiokafka in the application's own event loop.

    Passing a poll between threads costs up to a switch interval (5 ms) of Python's lock, each way.
    """

    logger = driver.logger

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, thread_loop=asyncio.get_event_loop(), **options)

    async def on_start(self) -> None:
        await super().on_start()
        take_whole_batches(self._consumer._fetcher)
        self._consumer.commit = partial(self._commit_with_ids, self._consumer.commit)

    async def _commit_with_ids(self, commit: Any, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Commits the id of its topic beside each offset: in another topic of that name it says nothing."""
        ids = self.consumer.topic_ids
        await commit({tp: OffsetAndMetadata(each.offset, ids.get(tp.topic, "")) for tp, each in offsets.items()})

    async def start(self) -> None:
        self._thread_started.set()
        await self._default_start()

    async def stop(self) -> None:
        if not self._stopped.is_set():
            self._stopped.set()
            await self.on_thread_stop()
            await self._default_stop_futures()
            self._shutdown.set()

    async def call_thread(self, fun: Any, *args: Any, **options: Any) -> Any:
        result = fun(*args, **options)
        return await result if inspect.isawaitable(result) else result
