"""What up, status and env print, without a stack."""

from __future__ import annotations

import subprocess

import pytest

from backend_demo.cli.env import quoted
from backend_demo.cli.status import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
        (3_600, "1 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("value", ["plain", "", "a b", "it's", '$HOME `id` "x"', "back\\slash", "new\nline"])
def test_an_exported_value_is_what_the_shell_sees(value: str) -> None:
    script = f'X={quoted(value)}; printf %s "$X"'
    assert quoted(value).startswith("'")
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == value
