"""The merge of partitions by time, against sorting."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.topics import Partition
from backend_demo.operations.kafka_record import KafkaRecord, time_of
from backend_demo.operations.tail.merge import Merge, RecordOrder

TOPICS = ("a", "b")
PARTITIONS = [(topic, number) for topic in TOPICS for number in range(3)]


def record(partition: Partition, offset: int, timestamp: float | None) -> KafkaRecord:
    return KafkaRecord(*partition, offset, timestamp, None, None)


times = st.lists(st.integers(0, 30), max_size=12)
logs = st.fixed_dictionaries(dict.fromkeys(PARTITIONS, times))


def merged(logs: dict[Partition, list[KafkaRecord]], chunk: int) -> tuple[list[KafkaRecord], int]:
    """What comes out when each starved partition is fed `chunk` records; and how many were held at most."""
    merge = Merge(logs, RecordOrder(TOPICS))
    left = {partition: list(records) for partition, records in logs.items()}
    out: list[KafkaRecord] = []
    most = 0
    while merge.starved:
        for partition in list(merge.starved):
            merge.feed(partition, left[partition][:chunk])
            del left[partition][:chunk]
            if partition in merge.starved:
                merge.close(partition)
        fed = sum(map(len, logs.values())) - sum(map(len, left.values()))
        most = max(most, fed - len(out))
        out.extend(merge.ready())
    return out, most


@given(logs, st.integers(1, 5))
def test_times_that_never_run_backwards_come_out_sorted(found: dict[Partition, list[int]], chunk: int) -> None:
    log = {
        partition: [record(partition, offset, when) for offset, when in enumerate(sorted(found[partition]))]
        for partition in PARTITIONS
    }
    out, held = merged(log, chunk)
    assert out == sorted((one for records in log.values() for one in records), key=RecordOrder(TOPICS))
    assert held <= chunk * len(PARTITIONS)


@given(logs, st.integers(1, 5))
def test_whatever_the_times_nothing_is_lost_and_offsets_keep_their_order(
    found: dict[Partition, list[int]], chunk: int
) -> None:
    log = {
        partition: [record(partition, offset, when or None) for offset, when in enumerate(found[partition])]
        for partition in PARTITIONS
    }
    out, _ = merged(log, chunk)
    by_partition = groupby(
        sorted(out, key=lambda one: (one.topic, one.partition)), lambda one: (one.topic, one.partition)
    )
    assert {partition: list(records) for partition, records in by_partition} == {
        partition: records for partition, records in log.items() if records
    }


def test_nothing_comes_out_while_an_open_partition_could_hold_something_older() -> None:
    merge = Merge(PARTITIONS[:2], RecordOrder(TOPICS))
    merge.feed(PARTITIONS[0], [record(PARTITIONS[0], 0, 5.0)])
    assert list(merge.ready()) == []
    assert merge.starved == {PARTITIONS[1]}
    merge.close(PARTITIONS[1])
    assert [one.offset for one in merge.ready()] == [0]
    assert merge.starved == {PARTITIONS[0]}


def test_at_one_time_the_order_of_the_topics_decides() -> None:
    order = RecordOrder(["z", "a"])
    assert (
        sorted([KafkaRecord("a", 0, 0, 1.0, None, None), KafkaRecord("z", 9, 9, 1.0, None, None)], key=order)[0].topic
        == "z"
    )


def test_a_record_without_a_time_is_the_oldest() -> None:
    assert time_of(record(PARTITIONS[0], 0, None)) < time_of(record(PARTITIONS[0], 0, 0.0))
