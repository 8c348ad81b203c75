"""What up, status and env print, without a stack."""

from __future__ import annotations

import pytest

from backend_demo.cli.options import copies
from backend_demo.errors import UsageError


def test_copies_are_read_from_words() -> None:
    assert copies([]) == {}
    assert copies(["processing=3", "kafka=-1", "loader=08"]) == {"processing": 3, "kafka": -1, "loader": 8}


@pytest.mark.parametrize(
    "word",
    ["processing", "=3", "processing=", "processing=x", "processing=1.5", "processing=٣", "processing=9999999999"],
)
def test_a_word_that_names_no_copies_is_refused(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        copies([word])
    assert "processing=3" in caught.value.hint


def test_a_service_is_scaled_once() -> None:
    with pytest.raises(UsageError, match="twice"):
        copies(["processing=2", "processing=3"])
