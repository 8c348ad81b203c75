"""What the marks of dead letters say together."""

from itertools import permutations

import pytest

from backend_demo.domain.letter_mark import (
    OPEN,
    LetterMark,
    LetterState,
    Marks,
    ReplayedReading,
    first_needed,
    read_mark,
)

ONE, OTHER = (ReplayedReading("7", 1.5, 2.5),), (ReplayedReading("7", 9.5, 2.5),)


def marks(*states: LetterState | tuple[LetterState, tuple[ReplayedReading, ...]]) -> Marks:
    found = Marks()
    for when, given in enumerate(states):
        state, readings = given if isinstance(given, tuple) else (given, ())
        found.add(3, LetterMark(17, 1000, state, readings).value(), float(when))
    return found


def test_a_mark_is_read_as_it_was_written() -> None:
    mark = LetterMark(17, 1000, "unfinished", ONE)
    assert mark.key(3) == b"3:17"
    read = read_mark(mark.value())
    assert read is not None
    assert (read.offset, read.letter_ms, read.state, tuple(read.readings)) == (17, 1000, "unfinished", ONE)


@pytest.mark.parametrize("raw", [None, b"", b"{}", b"\xff", b'{"offset":1,"letter_ms":1,"state":"eaten"}'])
def test_other_records_are_no_marks(raw: bytes | None) -> None:
    assert read_mark(raw) is None
    found = Marks()
    found.add(3, raw, 1.0)
    assert found.of((3, 1), 1) is OPEN


def test_a_letter_stands_as_its_marks_say() -> None:
    assert marks().of((3, 17), 1000) is OPEN
    assert marks("dismissed").of((3, 17), 1000).state == "dismissed"
    assert marks("dismissed", ("unfinished", ONE)).of((3, 17), 1000).state == "unfinished"
    finished = marks(("unfinished", ONE), ("replayed", ONE)).of((3, 17), 1000)
    assert (finished.state, finished.since, tuple(finished.readings)) == ("replayed", 1.0, ONE)


def test_the_first_replay_counts_and_no_later_mark_replaces_it() -> None:
    begun = marks(("unfinished", ONE), ("unfinished", OTHER), "dismissed").of((3, 17), 1000)
    assert (begun.state, begun.since, tuple(begun.readings)) == ("unfinished", 0.0, ONE)
    for later in permutations(["dismissed", ("unfinished", OTHER), ("replayed", OTHER)]):
        done = marks(("replayed", ONE), *later).of((3, 17), 1000)  # type: ignore[arg-type]
        assert (done.since, tuple(done.readings)) == (0.0, ONE)


def test_another_letter_at_the_same_place_is_open() -> None:
    """The topic was made again, or this is another partition."""
    found = marks("dismissed")
    assert found.of((3, 17), 1001) is found.of((2, 17), 1000) is found.of((3, 18), 1000) is OPEN


def test_marks_of_letters_that_are_gone_are_not_needed() -> None:
    kept = [
        (0, LetterMark(5, 1, "dismissed")),
        (1, None),
        (2, LetterMark(9, 1, "dismissed")),
        (4, LetterMark(2, 1, "dismissed")),
    ]
    assert first_needed(kept, 0) == 0
    assert first_needed(kept, 6) == 2
    assert first_needed(kept, 10) is None
