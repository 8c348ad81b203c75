"""`bdemo chaos` in containers."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable

import pytest

from backend_demo.errors import NoStack, UnknownName
from tests.compose.conftest import Bdemo
from tests.support.engine import needs_engine
from tests.support.schemas import check
from tests.support.wait import eventually

pytestmark = needs_engine


@pytest.fixture(scope="module")
def bdemo(opened: Callable[..., Bdemo], tmp_path_factory: pytest.TempPathFactory) -> Bdemo:
    bdemo = opened(tmp_path_factory.mktemp("chaos") / "state")
    bdemo.up("gateway")
    return bdemo


def test_what_is_killed_is_started_again(bdemo: Bdemo) -> None:
    before = bdemo.containers()["gateway"]
    found = check(json.loads(bdemo("chaos", "kill", "gateway", "-o", "json")))
    assert found["recovered_s"] > 0
    after = bdemo.containers()["gateway"]
    assert (after.id, after.state) == (before.id, "ready")
    assert after.started > before.started


def test_what_is_restarted_stays_down_for_the_time_given(bdemo: Bdemo) -> None:
    before = bdemo.containers()["gateway"]
    found = check(json.loads(bdemo("chaos", "restart", "gateway", "--for", "2s", "-o", "json")))
    assert found["for_s"] >= 2
    assert bdemo.containers()["gateway"].started > before.started + 2


@pytest.mark.parametrize("number", [0, signal.SIGKILL])
def test_what_is_paused_goes_on(bdemo: Bdemo, number: int) -> None:
    """At the end of its time, and when the command is killed."""
    words = bdemo.command("chaos", "pause", "postgres", "--for", "10m" if number else "2s")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("paused postgres, for")
        if number:
            assert bdemo.containers()["postgres"].status == "paused"
            process.send_signal(number)
        process.communicate(timeout=150)
        assert process.returncode == -number
    finally:
        process.kill()
    eventually(lambda: bdemo.containers()["postgres"].state == "ready", "it goes on")


def test_what_is_not_there_is_told(bdemo: Bdemo) -> None:
    assert "unknown service" in bdemo("chaos", "kill", "loader", code=UnknownName.exit_code)
    bdemo("down")
    assert "no stack runs" in bdemo("chaos", "kill", "gateway", code=NoStack.exit_code)
