"""The server of `/metrics`: reads only, for this machine and the hosts it knows, whatever its clients do."""

from __future__ import annotations

import io
import ipaddress
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import MetricsHandler

#: Connections at the same time. The oldest one gives way to a new one, so idle ones keep no scraper out.
CONNECTIONS_MAX = 16
#: Longest time of a connection, seconds: an answer takes milliseconds.
CONNECTION_S = 10.0

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?", re.IGNORECASE)
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def start(address: str, port: int, *, service: str, names: Collection[str] = ()) -> Callable[[], None]:
    """Serves `/metrics` in a thread; returns a function that ends it. Raises OSError.

    `names`: hosts that requests may name besides those of loopback. Beyond loopback they may also name any address, and
    the service or a copy of it, as containers do.
    """
    family, _, _, _, bound = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    server = _Server((str(bound[0]), port), family, service, names)
    thread = threading.Thread(target=server.serve_forever, daemon=True, name="metrics")
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A thread for each connection, of which there are few, and none for long."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 64

    def __init__(self, bound: tuple[str, int], family: int, service: str, names: Collection[str]) -> None:
        self.address_family = family
        self._names = frozenset(name.lower() for name in (*_LOOPBACK, *names))
        self._wide = not ipaddress.ip_address(bound[0]).is_loopback
        self._copy = re.compile(rf"{re.escape(service)}(-[0-9]+)?")
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        """Until when each connection may last, by the monotonic clock; the oldest one first."""
        super().__init__(bound, _Handler)

    def knows(self, host: str) -> bool:
        """Whether a Host header names this service: no page reaches it under a name of its own (DNS rebinding)."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower()
        # a browser cannot be tricked into using an address that is not the service's
        wide = self._wide and (_is_address(name) or self._copy.fullmatch(name) is not None)
        return wide or name in self._names

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answers in a thread of its own."""
        with self._lock:
            if len(self._open) >= CONNECTIONS_MAX:
                self._cut(next(iter(self._open)))
            self._open[request] = time.monotonic() + CONNECTION_S
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Cuts connections that last too long; called twice a second."""
        with self._lock:
            for request in [request for request, until in self._open.items() if until < time.monotonic()]:
                self._cut(request)

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: the client is gone, or was cut off."""

    def _cut(self, request: socket.socket) -> None:
        del self._open[request]
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)  # its thread wakes up and closes it


class _Handler(MetricsHandler):
    """Answers GET and HEAD of /metrics."""

    server: _Server
    timeout = CONNECTION_S

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not self.server.knows(hosts[0]):
            self._refuse(400, "the Host header does not name this service; see stats_allowed_hosts")
        elif urlsplit(self.path).path != "/metrics":
            self._refuse(404, "there is only /metrics")
        else:
            super().do_GET()

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._refuse(405, "only GET and HEAD are answered")

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = do_POST

    def end_headers(self) -> None:
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()
        if self.command == "HEAD":
            self.wfile = io.BytesIO()  # the body goes nowhere

    def version_string(self) -> str:
        return "bdemo"

    def _refuse(self, status: int, reason: str) -> None:
        body = f"{reason}\n".encode()
        self.send_response(status)
        if status == 405:
            self.send_header("Allow", "GET, HEAD")
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
