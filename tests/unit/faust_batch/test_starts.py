"""Where a consumer begins: offsets of a topic that is gone do not count."""

from __future__ import annotations

import pytest
from aiokafka import OffsetAndMetadata

from backend_demo.faust_batch.starts import log_range, starts
from backend_demo.kafka_record import LogRange


@pytest.mark.parametrize(
    ("topic_id", "metadata", "begin", "again"),
    [
        ("a", "a", 5, False),
        ("a", "", 5, False),  # by an older version
        ("", "a", 5, False),  # Kafka says no ids
        ("a", "b", 2, True),
    ],
)
def test_a_committed_offset_counts_for_its_own_topic(topic_id: str, metadata: str, begin: int, again: bool) -> None:
    committed = OffsetAndMetadata(5, metadata)
    log = log_range(2, 9, topic_id, committed)
    assert log == LogRange(2, 9, topic_id, 5 if topic_id == metadata else None)
    assert starts({"p": log, "q": log_range(0, 3, topic_id, None)}, {"p": committed}) == (
        {"p": begin},
        {"p"} if again else set(),
    )
