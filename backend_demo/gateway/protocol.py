"""uvicorn's HTTP protocol with bounds: a request's head has a size, and a request must come within a time."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from backend_demo.gateway import problems

#: A thousand sensors by their numbers, and more.
URL_MAX = 32_768
HEADERS_MAX = 100
HEAD_MAX = 65_536
#: A request must be there in this time, body and all: clients that send a byte now and then would hold connections.
REQUEST_S = 10.0
#: The extension of a connection's scope: what ends it at once, with all that the client has not taken.
ABORT = "bdemo.abort"
#: The extension of a connection's scope: `write(data) -> bool`, which sends more of the answer under way at once, past
#: all layers of the application. False: the connection takes nothing at the moment, and nothing was sent.
NOW = "bdemo.now"
#: A client that is refused while it still sends reads the answer only if we go on listening.
LINGER_S = 2.0


class BoundedProtocol(HttpToolsProtocol):
    """Refuses what is too long, too slow, or no HTTP with a problem document; uvicorn itself bounds none of it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = self._in_request = self._refused = False
        self._head_bytes = 0
        self._received = 0
        """Bytes that the parser is given at the moment."""
        self._wrong: Response | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(REQUEST_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._received = len(data)
        super().data_received(data)
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX:
                self._refuse(_too_long(self.url) or _too_large())
                return
        if not self._in_request:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(REQUEST_S, self._too_slow)

    def handle_websocket_upgrade(self) -> None:
        self._in_head = self._in_request = False
        super().handle_websocket_upgrade()

    # -- the parser's callbacks: what they raise ends in send_400_response

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}, NOW: {"write": self._write_now}}
        self._in_head = self._in_request = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._check(_too_long(self.url))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.headers) > HEADERS_MAX or (
            self._received + self._head_bytes > HEAD_MAX and _size(self.headers) > HEAD_MAX
        ):
            self._check(_too_large())
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_request = False
        super().on_message_complete()

    def _write_now(self, data: bytes) -> bool:
        answer = self.cycle  # the newest request's, which has not begun while it waits for another's end
        under_way = answer is not None and answer.response_started and not answer.response_complete
        if not under_way or self.flow.write_paused or self.transport.is_closing():
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))  # a chunk: the answer has no length
        return True

    def _check(self, wrong: Response | None) -> None:
        if wrong is not None:
            self._wrong = wrong
            raise ValueError

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._wrong or problems.problem(400, "bad_request", "this is no HTTP request"))

    # -- refusals

    def _too_slow(self) -> None:
        self._timer = None
        if self._in_head:
            self._refuse(problems.problem(408, "request_timeout", f"the request did not come within {REQUEST_S:.0f} s"))
        else:  # nothing came at all, or a body whose route has seen the beginning
            self.transport.close()

    def _refuse(self, answer: Response) -> None:
        self._refused = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # in the middle of another answer
            return
        head = [STATUS_LINE[answer.status_code]]
        headers = (*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close"))
        head += [b"%s: %s\r\n" % header for header in headers]
        self.transport.write(b"".join([*head, b"\r\n", bytes(answer.body)]))
        self._timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in headers)


def _too_long(url: bytes) -> Response | None:
    if len(url) <= URL_MAX:
        return None
    return problems.problem(414, "uri_too_long", f"a URL has {URL_MAX} bytes at most")


def _too_large() -> Response:
    return problems.problem(
        431,
        "request_header_fields_too_large",
        f"a request has {HEADERS_MAX} headers of {HEAD_MAX} bytes together at most",
    )
