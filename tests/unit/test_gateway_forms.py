"""What `Accept` means, and cursors that come back as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.topics import SENSOR_MAX
from backend_demo.gateway import cursor
from backend_demo.gateway.formats import CSV, NDJSON, accepted, json_form


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/csv", "csv"),
        ("TEXT/CSV; header=present", "csv"),
        ("text/*", "csv"),
        ("application/x-ndjson;q=0.5, text/csv;q=0.9", "csv"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "json"),
        ("application/jsonl", "ndjson"),
        ("text/csv;q=0", None),
        ("image/png", None),
        ("text/csv;q=many", None),
    ],
)
def test_the_form_that_is_preferred(header: str, form: str | None) -> None:
    assert accepted(header) == form


@given(st.integers(0, SENSOR_MAX), st.floats(0, 9e9), st.text())
def test_a_cursor_comes_back(sensor: int, timestamp: float, query: str) -> None:
    written = cursor.write((sensor, timestamp), query)
    assert written.isascii()
    assert cursor.read(written, query) == (sensor, timestamp)


@given(st.text(max_size=50))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cursor|query"):
        cursor.read(text, "a query")


def test_every_form_gives_floats_exactly() -> None:
    row = (7, 1700000000.123456, 0.1 + 0.2)
    for form in (json_form("readings"), CSV, NDJSON):
        assert "1700000000.123456" in form.encode([row])
        assert "0.30000000000000004" in form.encode([row])
