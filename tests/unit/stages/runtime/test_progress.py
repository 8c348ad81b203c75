"""Lag in records and in seconds, of partitions that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from faust.types import TP
from prometheus_client import REGISTRY

from backend_demo import metrics
from backend_demo.stages.runtime.progress import Progress

A, B = TP("src-data", 0), TP("src-data", 1)


@dataclass
class Record:
    offset: int
    timestamp: int
    key: bytes | None = None
    value: bytes | None = None


def records(first: int, last: int, at: float) -> list[Record]:
    return [Record(offset, round(at * 1000)) for offset in range(first, last + 1)]


def lag(tp: TP, what: str = "records") -> float | None:
    labels = {"service": "testing", "topic": tp.topic, "partition": str(tp.partition)}
    return REGISTRY.get_sample_value(f"bdemo_lag_{what}", labels)


@pytest.fixture
def progress() -> Iterator[Progress]:
    yield Progress("testing")
    metrics.lag_records.clear()
    metrics.lag_seconds.clear()


def test_what_is_fetched_and_not_done_counts_as_left(progress: Progress) -> None:
    progress.done({A: records(0, 9, at=100)}, 100.5)
    progress.measure({A: (50, 60)}, 101, under_way=True)
    assert lag(A) == 50


def test_with_nothing_under_way_all_that_was_fetched_is_done(progress: Progress) -> None:
    """The log may end in a record that is never handed out, as a transaction's marker."""
    progress.done({A: records(0, 9, at=100)}, 100.5)
    progress.measure({A: (11, 11)}, 101, under_way=False)
    assert (lag(A), lag(A, "seconds")) == (0, 0)


def test_seconds_count_from_the_last_record_that_is_done(progress: Progress) -> None:
    """After a service was away, its backlog is as old as what it is at."""
    progress.done({A: records(0, 9, at=100)}, 700)
    progress.measure({A: (10, 5000)}, 701, under_way=False)
    assert lag(A, "seconds") == pytest.approx(601)


def test_after_a_pause_seconds_count_from_its_end(progress: Progress) -> None:
    """The first record after an hour without any has not waited for an hour."""
    progress.done({A: records(0, 9, at=100)}, 100.1)
    progress.measure({A: (10, 10)}, 3699, under_way=False)
    progress.measure({A: (10, 11)}, 3700, under_way=False)
    assert lag(A, "seconds") == pytest.approx(1)


def test_before_the_first_batch_seconds_count_from_the_assignment(progress: Progress) -> None:
    progress.measure({A: (0, 10)}, 100, under_way=False)
    progress.measure({A: (0, 10)}, 103, under_way=False)
    assert lag(A, "seconds") == pytest.approx(3)


def test_a_partition_that_has_gone_is_no_longer_reported(progress: Progress) -> None:
    """Else its lag would stand for ever, beside that of its new owner."""
    progress.measure({A: (0, 10), B: (0, 5)}, 100, under_way=False)
    progress.measure({B: (0, 5)}, 101, under_way=False)
    assert lag(A) is None
    assert lag(B) == 5
    progress.measure({A: (7, 10), B: (0, 5)}, 200, under_way=False)
    assert (lag(A), lag(A, "seconds")) == (3, 0)
