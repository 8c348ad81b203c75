"""uvicorn's HTTP protocol with bounds on the size of a request's head and on the time it takes to arrive."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from backend_demo.gateway import problems

#: Room for the numbers of a thousand sensors, bytes.
URL_MAX = 32_768
HEADERS_MAX = 100
HEAD_MAX = 65_536
#: Time in which a request must arrive, body included: clients that send a byte now and then would hold connections.
REQUEST_S = 10.0
#: Extension of a connection's scope: `abort()` cuts it at once, dropping what the client has not read.
ABORT = "bdemo.abort"
#: Extension of a connection's scope: `write(data) -> bool` sends more of the answer in progress at once, bypassing all
#: layers of the application. False: the connection takes nothing at the moment, and nothing was sent.
NOW = "bdemo.now"
#: Extension of a connection's scope: `more_time()` grants another REQUEST_S from now on, to a body that a route reads
#: as it arrives and bounds itself.
MORE_TIME = "bdemo.more_time"
#: Time for which the gateway still reads after a refusal: otherwise a client that is sending would not see the answer.
LINGER_S = 2.0


class BoundedProtocol(HttpToolsProtocol):
    """Refuses requests that are too long, too slow or not HTTP with a problem document; uvicorn sets no such bounds."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = self._in_request = self._refused = False
        self._head_bytes = 0
        self._received = 0
        """Number of bytes the parser is working on."""
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

    # -- the parser's callbacks: an exception in one leads to send_400_response

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {
            ABORT: {"abort": self.transport.abort},
            NOW: {"write": self._write_now},
            MORE_TIME: {"more_time": self._more_time},
        }
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
        answer = self.cycle  # belongs to the newest request, and has not begun while an earlier one is answered
        under_way = answer is not None and answer.response_started and not answer.response_complete
        if not under_way or self.flow.write_paused or self.transport.is_closing():
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))  # as a chunk: the answer has no length
        return True

    def _more_time(self) -> None:
        if self._timer is not None and self._in_request and not self._refused:
            self._timer.cancel()
            self._timer = self.loop.call_later(REQUEST_S, self._too_slow)

    def _check(self, wrong: Response | None) -> None:
        if wrong is not None:
            self._wrong = wrong
            raise ValueError

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._wrong or problems.problem(400, "bad_request", "this is not an HTTP request"))

    # -- refusals

    def _too_slow(self) -> None:
        self._timer = None
        if self._in_head:
            self._refuse(
                problems.problem(408, "request_timeout", f"the request did not arrive within {REQUEST_S:.0f} s")
            )
        else:  # nothing arrived at all, or only part of a body that a route is reading already
            self.transport.close()

    def _refuse(self, answer: Response) -> None:
        self._refused = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # another answer is in progress
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
    return problems.problem(414, "uri_too_long", f"the URL is longer than {URL_MAX} bytes")


def _too_large() -> Response:
    return problems.problem(
        431,
        "request_header_fields_too_large",
        f"the request has more than {HEADERS_MAX} headers, or more than {HEAD_MAX} bytes of them",
    )
