"""The transport without a broker: room for batches over rebalances, patience with start positions."""

import asyncio
from typing import Any

import faust
from faust.types import TP
from yarl import URL

from backend_demo.faust_batch.batch import Batch, batches
from backend_demo.faust_batch.transport import IN_FLIGHT, Transport

NOWHERE = URL("kafka://127.0.0.1:1")


def app_of_batches() -> faust.App:
    app = faust.App("test", broker=[NOWHERE], web_enabled=False)
    app.transport = Transport([NOWHERE], app)
    return app


def test_the_fetch_loop_goes_on_when_a_rebalance_has_dropped_all_batches() -> None:
    async def check() -> None:
        consumer = app_of_batches().consumer
        for _ in range(IN_FLIGHT):
            await consumer._room.acquire()
        waiting = asyncio.create_task(consumer._room.acquire())
        await asyncio.sleep(0)
        consumer._begin_epoch()
        await asyncio.wait_for(waiting, 1)

    asyncio.run(check())


def test_start_positions_may_take_longer_than_a_request() -> None:
    """Faust's own recovery ends for good, in silence, after broker_request_timeout."""

    async def check() -> None:
        await app_of_batches().tables.recovery._wait(asyncio.sleep(0.05), timeout=0.01)

    asyncio.run(check())


def test_a_batch_of_an_earlier_epoch_is_not_handled() -> None:
    async def check() -> None:
        consumer = app_of_batches().consumer
        old = Batch({}, consumer.offsets.deliver({TP("topic", 0): 1}), consumer)
        consumer._begin_epoch()
        new = Batch({}, consumer.offsets.deliver({TP("topic", 0): 1}), consumer)
        await consumer._room.acquire()
        assert [batch async for batch in batches(Stream(old, new))] == [new]
        old.ack()
        assert consumer.offsets.committable() == {}
        new.ack()
        assert consumer.offsets.committable() == {TP("topic", 0): 1}

    asyncio.run(check())


class Stream:
    """As much of a Faust stream as `batches` asks for."""

    def __init__(self, *found: Batch) -> None:
        self._found = found

    def noack(self) -> "Stream":
        return self

    async def events(self) -> Any:
        for batch in self._found:
            yield Event(batch)


class Event:
    def __init__(self, value: Batch) -> None:
        self.value = value
