"""Where loading begins after an assignment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.fence import FenceRow, Gap, start
from backend_demo.domain.topics import AGGREGATED_DATA, PROCESSED_DATA, Partition
from backend_demo.kafka_record import LogRange

offsets = st.integers(0, 3)
topic_ids = st.sampled_from(["", "a", "b"])
partitions = st.tuples(st.sampled_from([PROCESSED_DATA, AGGREGATED_DATA]), st.integers(0, 1))
logs = st.dictionaries(
    partitions,
    st.tuples(offsets, offsets, topic_ids).map(lambda found: LogRange(min(found[:2]), max(found[:2]), found[2])),
)


@given(logs, st.dictionaries(partitions, st.tuples(offsets, topic_ids).map(lambda found: FenceRow(*found))))
def test_it_begins_at_the_fence_or_where_the_log_of_that_topic_begins(
    logs: dict[Partition, LogRange], stored: dict[Partition, FenceRow]
) -> None:
    begin = start(logs, stored)
    assert begin.fence.keys() == logs.keys()
    for partition, log in logs.items():
        mark = stored.get(partition)
        another = mark is not None and (mark.next_offset > log.end or {mark.topic_id, log.topic_id} == {"a", "b"})
        expected = log.begin if mark is None or another else max(log.begin, mark.next_offset)
        assert begin.fence[partition] == expected
        assert (partition in begin.moved) == (mark != (expected, log.topic_id))
        assert begin.moved.get(partition, (expected, log.topic_id)) == (expected, log.topic_id)
        assert (partition in begin.created_again) == another
        lost = [] if mark is None or another else list(range(mark.next_offset, log.begin))
        assert [gap for gap in begin.gaps if gap.partition == partition] == (
            [Gap(partition, lost[0], lost[-1])] if lost else []
        )


def test_a_topic_that_is_created_again_is_loaded_from_its_beginning_though_it_is_longer_than_the_fence() -> None:
    partition = (PROCESSED_DATA, 0)
    begin = start({partition: LogRange(0, 400, "new")}, {partition: FenceRow(100, "old")})
    assert begin.fence == {partition: 0}
    assert begin.moved == {partition: FenceRow(0, "new")}
    assert begin.created_again == {partition: 100}
