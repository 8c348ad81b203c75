"""Imports of libraries without parts of theirs."""

from __future__ import annotations

import sys

import pytest

from backend_demo.imports import without


def test_a_part_is_missing_within_and_there_afterwards() -> None:
    sys.modules.pop("colorsys", None)
    with without("colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_what_was_imported_before_stays() -> None:
    import colorsys

    with without("colorsys"):
        assert sys.modules["colorsys"] is colorsys
