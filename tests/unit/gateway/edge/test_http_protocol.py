"""The bounds of a request: uvicorn on a socket, with an application that does nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from backend_demo.gateway.edge import http_protocol as protocol

HOST = b"Host: localhost\r\n"


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/now":
        await _written_now(scope, send)
        return
    if scope["path"] == "/body":
        await PlainTextResponse(f"{await _body_in_time(scope, receive)} bytes")(scope, receive, send)
        return
    await PlainTextResponse(f"{scope['method']} {len(scope['query_string'])}")(scope, receive, send)


async def _body_in_time(scope: Scope, receive: Receive) -> int:
    """Takes a body that arrives slowly: each piece grants more time for the next one."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        scope["extensions"][protocol.MORE_TIME]["more_time"]()
    return size


async def _written_now(scope: Scope, send: Send) -> None:
    """Writes at once before, during and after the answer."""
    write = scope["extensions"][protocol.NOW]["write"]
    taken = [write(b"before")]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["method"] == "GET":
        taken.append(write(b"in it: "))
        await send({"type": "http.response.body", "body": repr(taken).encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    assert not write(b"after")


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.5)
    monkeypatch.setattr(protocol, "LINGER_S", 0.2)
    config = uvicorn.Config(_application, http=protocol.BoundedProtocol, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(20)


def exchange(port: int, *pieces: bytes, before_next: Callable[[], Any] = lambda: None) -> bytes:
    """The whole answer, until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:
                break
            before_next()
        answer = b""
        try:
            while piece := connection.recv(65_536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


def refused(answer: bytes) -> int:
    """The status of a problem document, after which the connection ends."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    status = int(head.split()[1])
    assert json.loads(body)["status"] == status
    return status


def get(path: bytes = b"/", headers: bytes = b"") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + headers + b"Connection: close\r\n\r\n"


def test_what_is_written_at_once_stays_within_its_answer(port: int) -> None:
    body = exchange(port, get(b"/now")).partition(b"\r\n\r\n")[2]
    assert body == b"7\r\nin it: \r\nd\r\n[False, True]\r\n0\r\n\r\n"
    head = exchange(port, get(b"/now").replace(b"GET", b"HEAD"))
    assert head.partition(b"\r\n\r\n")[2] == b""


@pytest.mark.parametrize("length", [protocol.URL_MAX + 1, 200_000, 10_000_000])
def test_a_url_that_is_too_long(port: int, length: int) -> None:
    assert refused(exchange(port, get(b"/?" + b"1" * (length - 2)))) == 414


def test_the_longest_url(port: int) -> None:
    assert exchange(port, get(b"/?" + b"1" * (protocol.URL_MAX - 2))).endswith(b"GET 32766")


@pytest.mark.parametrize(
    "headers",
    [
        b"".join(b"X-%d: y\r\n" % number for number in range(1000)),
        b"X: " + b"y" * 100_000 + b"\r\n",
        (b"X: " + b"y" * 1000 + b"\r\n") * 80,
    ],
    ids=["many", "a large one", "large together"],
)
def test_headers_that_are_too_many_or_too_large(port: int, headers: bytes) -> None:
    assert refused(exchange(port, get(headers=headers))) == 431


def test_a_header_without_an_end(port: int) -> None:
    assert refused(exchange(port, b"GET / HTTP/1.1\r\nX: ", *[b"y" * 10_000] * 100)) == 431


def test_a_hundred_headers_are_taken_one_byte_at_a_time(port: int) -> None:
    headers = b"".join(b"X-%d: y\r\n" % number for number in range(protocol.HEADERS_MAX - 2))
    assert exchange(port, *[bytes([byte]) for byte in get(headers=headers)]).endswith(b"GET 0")


@pytest.mark.parametrize("text", [b"\x16\x03\x01\x02\x00", b"hello\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\n\r\n"])
def test_other_text_is_not_a_request(port: int, text: bytes) -> None:
    assert refused(exchange(port, text)) == 400


def test_a_head_that_never_ends(port: int) -> None:
    """Every byte arrives in time, but the request as a whole does not."""
    began = time.monotonic()
    answer = exchange(port, b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 100, before_next=lambda: time.sleep(0.02))
    assert refused(answer) == 408
    assert time.monotonic() - began < 10


def test_an_idle_connection_is_closed(port: int) -> None:
    assert exchange(port) == b""


def test_several_requests_on_a_connection(port: int) -> None:
    """They are answered in order."""
    answer = exchange(port, get(b"/?1").replace(b"Connection: close\r\n", b"") + get(b"/?22"))
    assert [line for line in answer.split(b"\r\n") if b"GET" in line] == [b"GET 1HTTP/1.1 200 OK", b"GET 2"]


def test_a_route_may_grant_more_time_to_a_body_that_keeps_arriving(port: int) -> None:
    head = b"POST /body HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: 10\r\n\r\n"
    slow = [bytes([byte]) for byte in b"0123456789"]
    assert exchange(port, head, *slow, before_next=lambda: time.sleep(0.1)).endswith(b"10 bytes")
    assert exchange(port, head, *slow[:3]) == b""
