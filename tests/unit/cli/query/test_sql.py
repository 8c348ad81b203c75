"""What `bdemo query sql` makes of a statement before and after PostgreSQL has seen it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.operations.sql import distinct, where


@pytest.mark.parametrize(
    ("text", "position", "place"),
    [
        ("select x", 8, ", at column 8"),
        ("select x\n", 8, ", at column 8"),
        ("select\n  x\nfrom y", 10, ", at line 2, column 3"),
        ("a\nb", 3, ", at line 2, column 1"),
    ],
)
def test_a_place_in_words(text: str, position: int, place: str) -> None:
    assert where(text, position) == place


def test_columns_of_the_same_name_are_told_apart() -> None:
    assert distinct(["a", "a", "b", "a", "a_2"]) == ["a", "a_3", "b", "a_4", "a_2"]


@given(st.lists(st.sampled_from(["a", "a_2", "a_2_2", "a_3", "b"]), max_size=8))
def test_no_two_columns_have_the_same_name(names: list[str]) -> None:
    found = distinct(names)
    assert len(set(found)) == len(names)
    assert all(new.startswith(old) for new, old in zip(found, names, strict=True))
    assert all(new == old for new, old in zip(found, names, strict=True) if names.count(old) == 1)
