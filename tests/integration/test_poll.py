"""The service `poll` on a stack of its own: what a device answers is in the table, and without a [[poll]] it is off."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend_demo.domain.names import number_of
from backend_demo.settings import Settings
from backend_demo.settings_poll import PollSetting
from backend_demo.stack.base import Stack
from backend_demo.testing import running_stack
from tests.support.services import state_of
from tests.support.wait import eventually


@pytest.fixture
def device() -> Iterator[str]:
    """A device that is 21.5 degrees warm, and wants a key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            right = self.headers["X-Key"] == "abc"
            self.send_response(200 if right else 401)
            self.end_headers()
            self.wfile.write(json.dumps({"t": [21.5]}).encode() if right else b"")

        def log_message(self, *_: Any) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def test_a_device_is_asked(device: str, tmp_path: Path) -> None:
    poll = PollSetting(url=device, sensor="cellar", value="t.0", interval_s=1, headers={"X-Key": "abc"})
    with running_stack(tmp_path / "state", poll=(poll,)) as (settings, stack):
        assert state_of(stack, "poll") == "ready"
        url = f"{settings.gateway_url}/v1/readings?sensor={number_of('cellar')}"

        def values() -> list[float]:
            return [row["value"] for row in httpx.get(url, timeout=30).json()["readings"]]

        eventually(lambda: len(values()) >= 3, "its readings")
        assert set(values()) == {21.5}


def test_without_a_poll_it_is_off(settings: Settings, stack: Stack) -> None:
    assert settings.poll == ()
    assert "poll" not in {status.name for status in stack.status() if status.state != "off"}
