"""What the client makes of a gateway's answers, good and bad ones."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from backend_demo.domain.reading import Reading
from backend_demo.errors import BdemoError, ServiceFailed, UnknownName, UsageError
from backend_demo.operations.query import Gateway


class _Handler(http.server.BaseHTTPRequestHandler):
    answer: ClassVar[tuple[int, bytes, int]]
    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        status, body, length = self.answer
        self.asked.append(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Silent."""


class _Answers:
    """A gateway that says what it is told to say."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[str] = []
        _Handler.asked = self.asked

    def says(self, status: int, body: object, *, length: int | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        _Handler.answer = (status, content, len(content) if length is None else length)


@pytest.fixture
def gateway() -> Iterator[_Answers]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield _Answers(server.server_port)
        server.shutdown()
        thread.join(10)


def test_strings_become_numbers_without_loss(gateway: _Answers) -> None:
    gateway.says(200, [{"id": "7", "timestamp": "1664000000.123456", "sensor_num": "3", "value": "21.300000000000004"}])
    with Gateway(gateway.url + "/") as client:
        answer = client.between("average", [3], 0.1, None)
    assert list(answer.rows) == [Reading(3, 1664000000.123456, 21.300000000000004)]
    assert gateway.asked == ["/average?sensor_num=3&timestamp_start=0.1&timestamp_end=253402300799.0"]


def test_several_sensors_come_merged_newest_first(gateway: _Answers) -> None:
    rows = [{"id": "1", "timestamp": str(time), "sensor_num": "1", "value": "1"} for time in (9.0, 5.0)]
    gateway.says(200, rows)
    with Gateway(gateway.url) as client:
        answer = client.between("range", [1, 2, 1], 0, 10)
    assert [row.timestamp for row in answer.rows] == [9, 9, 5, 5]
    assert len(gateway.asked) == 2


def test_a_cut_list_of_sensors_is_not_complete(gateway: _Answers) -> None:
    gateway.says(200, {"readings": [{"sensor": 1, "timestamp": 1.5, "value": 2}], "truncated": True})
    with Gateway(gateway.url) as client:
        answer = client.latest()
    assert (list(answer.rows), answer.complete) == ([Reading(1, 1.5, 2.0)], False)


UNKNOWN = {"code": "unknown_sensor", "detail": "no readings of sensor 9", "sensors": [9], "known": [7, 10]}


@pytest.mark.parametrize(
    ("status", "body", "error", "message", "hint"),
    [
        (404, UNKNOWN, UnknownName, "unknown sensor '9'", "sensors with near numbers: 7, 10"),
        (404, {**UNKNOWN, "known": []}, UnknownName, "unknown sensor '9'", "no sensor has sent anything yet"),
        (422, {"code": "invalid_parameters", "detail": "sensor: bad"}, UsageError, "sensor: bad", "see: bdemo"),
        (503, {"code": "x", "detail": "PostgreSQL: away"}, ServiceFailed, "PostgreSQL: away", "see: bdemo status"),
        (500, {"code": "unexpected"}, ServiceFailed, "the gateway answers 500: unexpected", "see: bdemo logs gateway"),
        (404, b"<html>", ServiceFailed, "what answers at", "look at the URL"),
        (200, b"<html>", ServiceFailed, "what answers at", "look at the URL"),
        (200, {"readings": 5}, ServiceFailed, "what answers at", "look at the URL"),
        (302, b"", ServiceFailed, "what answers at", "look at the URL"),
    ],
)
def test_a_bad_answer_is_an_error_with_a_hint(
    gateway: _Answers, status: int, body: object, error: type[BdemoError], message: str, hint: str
) -> None:
    gateway.says(status, body)
    with Gateway(gateway.url) as client, pytest.raises(error) as caught:
        client.latest([9])
    assert caught.value.message.startswith(message)
    assert caught.value.hint.startswith(hint)


def test_an_answer_that_breaks_off_is_an_error(gateway: _Answers) -> None:
    gateway.says(200, b'[{"id":"1"', length=1000)
    with Gateway(gateway.url) as client, pytest.raises(ServiceFailed, match="broke off"):
        client.between("range", [1], 0, 1)


def test_nobody_there() -> None:
    with Gateway("http://127.0.0.1:1") as client, pytest.raises(ServiceFailed, match="does not answer") as caught:
        client.latest()
    assert caught.value.hint == "see: bdemo status"


@pytest.mark.parametrize("url", ["", "127.0.0.1:8007", "ftp://x", "http://", "http://x:y", "nonsense"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UsageError, match="no URL"):
        Gateway(url)
