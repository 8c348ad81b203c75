"""Tracing is off, and nothing of it is loaded, unless it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from backend_demo import telemetry as tracing
from backend_demo.errors import PrerequisiteMissing
from backend_demo.settings import Settings


def test_off_by_default_with_nothing_loaded() -> None:
    script = (
        "import sys; from backend_demo import telemetry as tracing; from backend_demo.settings import Settings\n"
        "assert tracing.of(Settings(), 'processing') is tracing.OFF\n"
        "assert 'opentelemetry.sdk' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_off_gives_no_header() -> None:
    with tracing.OFF.batch("process src-data", 3, {}), tracing.OFF.step("send"):
        assert not tracing.OFF.headers


def test_asked_for_without_the_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(PrerequisiteMissing) as problem:
        tracing.of(Settings(tracing_endpoint="http://127.0.0.1:4318"), "processing")
    assert "backend-demo[tracing]" in problem.value.hint


@pytest.mark.parametrize("wrong", ["127.0.0.1:4318", "grpc://collector", "http://"])
def test_an_endpoint_is_a_url(wrong: str) -> None:
    with pytest.raises(ValueError, match="tracing_endpoint"):
        Settings(tracing_endpoint=wrong)
