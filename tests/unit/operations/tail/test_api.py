"""The client of the gateway's live stream: where it resumes."""

from __future__ import annotations

import http.server
import threading
from itertools import islice

from backend_demo.operations.tail import api

STREAM = b'id: 1:7\nevent: reading\ndata: {"sensor": 3}\n\n'


def test_it_resumes_after_the_last_event_by_the_header_of_the_standard() -> None:
    """Each connection gets one event and ends, so that the client comes back."""
    asked: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Last-Event-ID"])
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(STREAM)

        def log_message(self, *words: object) -> None:
            """Silent."""

    notices: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            events = api.follow(f"http://127.0.0.1:{server.server_port}", last_id="1:6", notify=notices.append)
            assert [event.id for event in islice(events, 2)] == ["1:7", "1:7"]
        finally:
            server.shutdown()
            thread.join(10)
    assert asked == ["1:6", "1:7"]
    assert notices == [api.AWAY, api.BACK]
