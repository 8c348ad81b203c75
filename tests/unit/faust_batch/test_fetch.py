"""Taking fetched records in whole batches: the same records and positions as aiokafka's own way gives."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.faust_batch import fetch

TP = TopicPartition("events", 0)


class Position:
    """What aiokafka knows of an assigned partition."""

    paused = False

    def __init__(self, position: int) -> None:
        self.position = position

    def consumed_to(self, offset: int) -> None:
        self.position = offset


def fetched(sizes: list[int], position: int, *, corrupt: bool = False) -> tuple[FetchResult, Position]:
    """A fetch of batches of these sizes, from offset 0 on."""
    data, begin = b"", 0
    for size in sizes:
        builder = BatchBuilder(1_000_000, 0)
        for number in range(size):
            builder.append(timestamp=1, key=b"k", value=b"%d" % (begin + number))
        data += begin.to_bytes(8, "big") + bytes(builder._build())[8:]  # the broker sets the base offset
        begin += size
    if corrupt:
        data = data[:-1] + bytes([data[-1] ^ 1])
    records = PartitionRecords(TP, MemoryRecords(data), [], position, None, None, True, READ_UNCOMMITTED)
    state = Position(position)
    assignment = SimpleNamespace(active=True, state_value=lambda tp: state)
    return FetchResult(TP, assignment=assignment, partition_records=records, backoff=0), state


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.data())
def test_every_record_from_the_position_on_comes_once(sizes: list[int], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, sizes[0] - 1))
    result, state = fetched(sizes, position)
    found = []
    while result.has_more():
        limit = data.draw(st.integers(1, 8) | st.none())
        taken = fetch.getall(result, limit)
        assert limit is None or len(taken) <= limit
        found += [record.offset for record in taken]
        assert state.position == found[-1] + 1
    assert found == list(range(position, sum(sizes)))


def test_a_corrupt_batch_is_reported_and_fetched_again() -> None:
    result, state = fetched([2, 2], 0, corrupt=True)
    with pytest.raises(CorruptRecordException):
        fetch.getall(result)
    assert not result.has_more()
    assert state.position == 0


def test_what_was_fetched_before_a_seek_is_dropped() -> None:
    result, state = fetched([3], 0)
    fetch.getall(result, 1)
    state.position = 7
    assert fetch.getall(result) == []
    assert not result.has_more()


def test_other_consumers_stay_as_they_are() -> None:
    fetcher = SimpleNamespace(_records={})
    fetch.take_whole_batches(fetcher)
    fetcher._records[TP], _ = fetched([2], 0)
    other, _ = fetched([2], 0)
    assert [hasattr(record, "topic") for record in fetcher._records[TP].getall()] == [False, False]
    assert [record.topic for record in other.getall()] == [TP.topic, TP.topic]
