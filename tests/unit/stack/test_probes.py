"""The health of a service of ours, by the gauges at its metrics port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend_demo.stack import probes
from backend_demo.stack.state.directory import StateDirectory


class Metrics(BaseHTTPRequestHandler):
    page = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(type(self).page.encode())

    def log_message(self, *arguments: object) -> None:
        """Prints nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("ready", "rebalancing", "health"),
    [(1, 0, "ready"), (0, 1, "rebalancing"), (0, 0, "down"), (None, None, "down")],
)
def test_a_service_says_itself_how_it_is(
    server: ThreadingHTTPServer, tmp_path: Path, ready: int | None, rebalancing: int | None, health: probes.Health
) -> None:
    gauges = {"bdemo_service_ready": ready, "bdemo_service_rebalancing": rebalancing}
    Metrics.page = "".join(
        f'# HELP {name} ...\n{name}{{service="processing"}} {float(value)}\n'
        for name, value in gauges.items()
        if value is not None
    )
    state, addresses = StateDirectory(tmp_path), {"processing_stats_port": server.server_port}
    assert probes.health("processing", addresses, state) == health
    assert probes.is_ready("processing", addresses, state) is (health == "ready")


def test_a_service_that_does_not_answer_is_down(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    server.shutdown()
    server.server_close()
    addresses = {"processing_stats_port": server.server_port}
    assert probes.health("processing", addresses, StateDirectory(tmp_path)) == "down"
