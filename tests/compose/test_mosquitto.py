"""The profile `mosquitto`: a broker of others, and the bridge that takes from it, in the place of the proxy."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.compose.conftest import Bdemo
from tests.support.engine import needs_engine
from tests.support.wait import eventually

pytestmark = needs_engine


def test_readings_arrive_once_though_the_bridge_is_killed_and_the_broker_restarts(
    opened: Callable[..., Bdemo], tmp_path: Path
) -> None:
    """The broker is stopped, not killed: what it has acknowledged since it last wrote would be lost."""
    bdemo = opened(tmp_path / "state", ("mosquitto",))
    bdemo.up("--without=prometheus")
    states = {each.name: each.state for each in bdemo.stack.status()}
    assert (states["mosquitto"], states["bridge"]) == ("ready", "ready")
    assert not {"mqtt", "mqtt-port"} & set(bdemo.containers())
    with bdemo.load(tmp_path / "ledger.jsonl") as load:

        def goes_on() -> None:
            before = load.acknowledged()
            eventually(lambda: load.acknowledged() > before + 100, "100 more readings")

        goes_on()
        bridge = bdemo.containers()["bridge"]
        assert bridge.pid is not None
        os.kill(bridge.pid, signal.SIGKILL)
        eventually(lambda: bdemo.containers()["bridge"].restarts == bridge.restarts + 1, "the bridge is back")
        goes_on()
        bdemo.stack.stop("mosquitto")
        bdemo.stack.start("mosquitto")
        goes_on()
        load.end()
