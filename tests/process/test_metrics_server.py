"""Whom the server of metrics answers, and what idle or slow clients can do to it."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import time
from collections.abc import Iterator

import pytest
from prometheus_client import Counter

from backend_demo import metrics_server
from tests.support.ports import free_port
from tests.support.wait import eventually

seen = Counter("metrics_server_test", "Counts nothing.")


@contextlib.contextmanager
def serving(address: str = "127.0.0.1", *names: str) -> Iterator[int]:
    port = free_port()
    end = metrics_server.start(address, port, service="loader", names=names)
    try:
        yield port
    finally:
        end()


def ask(port: int, method: str = "GET", path: str = "/metrics", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())


def test_it_serves_the_metrics_that_are_asked_for() -> None:
    with serving() as port:
        status, text, headers = ask(port)
        assert (status, b"metrics_server_test_total 0.0" in text) == (200, True)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Server"] == "bdemo"
        _, one, _ = ask(port, path="/metrics?name[]=metrics_server_test_total")
        assert b"metrics_server_test_total 0.0" in one
        assert len(one) < 200
        _, packed, _ = ask(port, Accept_Encoding="gzip")
        assert b"metrics_server_test_total 0.0" in gzip.decompress(packed)


def test_head_is_get_without_a_body() -> None:
    with serving() as port:
        status, body, headers = ask(port, "HEAD")
        assert (status, body, headers["Content-Type"].partition(";")[0]) == (200, b"", "text/plain")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
def test_other_methods_are_refused(method: str) -> None:
    with serving() as port:
        status, _, headers = ask(port, method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/favicon.ico", "/metrics/", "/other"])
def test_there_is_nothing_else(path: str) -> None:
    with serving() as port:
        assert ask(port, path=path)[0] == 404


LOCAL = ("localhost", "LOCALHOST:7005", "127.0.0.1", "127.0.0.1:1", "[::1]:7005", "metrics.example")
WIDE = ("192.0.2.7:7005", "[2001:db8::1]", "loader", "loader:7005", "loader-2:7005")
FOREIGN = ("evil.example", "localhost.evil.example", "loader.evil.example", "processing", "", "127.0.0.1:x", "[::")


@pytest.mark.parametrize(
    ("address", "host", "status"),
    [
        *(("127.0.0.1", host, 200) for host in LOCAL),
        *(("127.0.0.1", host, 400) for host in (*WIDE, *FOREIGN)),
        *(("0.0.0.0", host, 200) for host in (*LOCAL, *WIDE)),
        *(("0.0.0.0", host, 400) for host in FOREIGN),
    ],
)
def test_a_page_of_another_name_gets_nothing(address: str, host: str, status: int) -> None:
    with serving(address, "metrics.example") as port:
        found, text, _ = ask(port, Host=host)
        assert found == status
        assert (b"metrics_server_test" in text) == (status == 200)


def test_without_a_host_or_with_two_nothing_is_answered() -> None:
    with serving() as port:
        for lines in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(b"GET /metrics HTTP/1.1\r\n" + lines + b"\r\n")
                assert b" 400 " in client.recv(100)


def test_idle_connections_keep_no_scraper_out_and_do_not_pile_up() -> None:
    with serving() as port, contextlib.ExitStack() as idle:
        clients = [idle.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(100)]
        assert ask(port)[0] == 200
        begin = time.monotonic()
        assert clients[0].recv(1) == b""  # the oldest were cut at once
        assert time.monotonic() - begin < 5


def test_a_slow_client_is_cut_off(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(metrics_server, "CONNECTION_S", 0.3)
    with serving() as port, socket.create_connection(("127.0.0.1", port), 10) as client:

        def cut() -> bool:
            try:
                client.sendall(b"X")  # a byte now and then keeps no connection
                client.settimeout(0.05)
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        eventually(cut, "cut off", 10)
        assert ask(port)[0] == 200
    assert capfd.readouterr() == ("", "")
