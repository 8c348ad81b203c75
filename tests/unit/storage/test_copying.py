"""Which rows are copied, before and after a COPY that failed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.loading import Key
from backend_demo.storage.copying import COPY_ROWS, SPLIT_BATCHES, Copying


def test_what_is_copied() -> None:
    copying = Copying()
    few = {(1, float(i)): 20.0 for i in range(COPY_ROWS - 1)}
    many = {(1, float(i)): 20.0 for i in range(COPY_ROWS)}
    assert copying.split(few) == ({}, few)
    assert copying.split(many) == (many, {})
    copying.failed()
    assert copying.split(many) == ({}, many)  # it knows of no row yet
    newer = {(1, COPY_ROWS + i / 2): 20.0 for i in range(COPY_ROWS)}
    assert copying.split({**many, **newer, (2, 1.0): 20.0}) == (newer, {**many, (2, 1.0): 20.0})
    for _ in range(SPLIT_BATCHES):
        copying.split(few)
    assert copying.split(many) == (many, {})


#: A batch: how many readings of one sensor in a row, and from which time on.
runs = st.lists(st.tuples(st.integers(COPY_ROWS // 2, COPY_ROWS * 2), st.integers(0, COPY_ROWS * 3)), min_size=1)


@given(runs)
def test_after_a_failure_nothing_is_copied_that_was_seen_before(batches: list[tuple[int, int]]) -> None:
    """Else one late row would make every COPY fail. Every row goes one way or the other."""
    copying, seen = Copying(), set[Key]()
    copying.failed()
    for size, begin in batches:
        rows = {(1, float(begin + i)): 20.0 for i in range(size)}
        copied, others = copying.split(rows)
        assert {**copied, **others} == rows
        assert copied.keys().isdisjoint(others)
        assert copied.keys().isdisjoint(seen)
        assert not copied or len(copied) >= COPY_ROWS
        seen |= rows.keys()
