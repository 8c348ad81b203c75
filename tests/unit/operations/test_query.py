"""What the client makes of a gateway's answers, good and bad ones."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.names import number_of
from backend_demo.errors import BdemoError, ConfigurationInvalid, ServiceFailed, UnknownName, UsageError
from backend_demo.operations.query import Answer, Gateway, Range


class _Handler(http.server.BaseHTTPRequestHandler):
    gateway: ClassVar["_Answers"]

    def do_GET(self) -> None:
        status, body, length, headers = self.gateway.answers.pop(0)
        self.gateway.asked.append(self.path)
        self.gateway.headers = dict(self.headers)
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Silent."""


class _Answers:
    """A gateway that says what it is told to say."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self.answers: list[tuple[int, bytes, int, dict[str, str]]] = []
        _Handler.gateway = self

    def says(self, status: int, body: object, *, length: int | None = None, **headers: str) -> None:
        """What it says next."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, content, len(content) if length is None else length, named))


@pytest.fixture
def gateway() -> Iterator[_Answers]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield _Answers(server.server_port)
        server.shutdown()
        thread.join(10)


def page(*rows: tuple[int, float], following: str | None = None) -> dict[str, object]:
    readings = [{"sensor": sensor, "timestamp": time, "value": 20.0} for sensor, time in rows]
    return {"readings": readings, "truncated": following is not None, "next": following}


def test_the_newest_rows_of_several_sensors_are_merged(gateway: _Answers) -> None:
    gateway.says(200, page((1, 9.0), (1, 5.0)))
    gateway.says(200, page((2, 9.0), (2, 6.0), following="more"))
    gateway.says(200, page((2, 4.0)))
    with Gateway(gateway.url) as client:
        wanted = Range("range", (1, 2, 1), 0.1, 10.0)
        answer = client.first(wanted, 3)
    assert [row[:2] for row in answer.rows] == [(1, 9), (2, 9), (2, 6)]
    assert not answer.complete
    assert gateway.asked[0] == "/v1/readings?sensor=1&from=0.1&order=desc&to=10.0&limit=4"
    assert gateway.asked[2].endswith("&cursor=more")


def test_the_newest_rows_of_all_sensors_are_looked_for_where_they_can_be(gateway: _Answers) -> None:
    """A sensor whose newest reading is older than enough others' has none of the newest rows."""
    newest = [{"sensor": sensor, "timestamp": float(sensor), "value": 20.0} for sensor in range(10)]
    gateway.says(200, {"readings": newest, "truncated": False})
    for sensor in (9, 8):
        gateway.says(200, page((sensor, float(sensor))))
    with Gateway(gateway.url) as client:
        answer = client.first(Range("range"), 1)
    assert [row[:2] for row in answer.rows] == [(9, 9.0)]
    assert [path.partition("&")[0] for path in gateway.asked[1:]] == ["/v1/readings?sensor=9", "/v1/readings?sensor=8"]


@given(st.lists(st.integers(0, 200), min_size=1, max_size=6))
def test_lines_may_be_cut_anywhere(cuts: list[int]) -> None:
    body = b"".join(b'{"sensor":1,"timestamp":%d.5,"value":2.25}\n' % i for i in range(5))
    ends = [*sorted(cuts), len(body)]
    pieces = [body[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    with Gateway("http://127.0.0.1:1") as client:
        client.copy = lambda wanted, form: iter(pieces)  # type: ignore[method-assign]
        rows = [row for block in client.blocks(Range("range")) for row in block]
    assert rows == [(1, i + 0.5, 2.25) for i in range(5)]


def test_buckets_come_page_by_page(gateway: _Answers) -> None:
    first = {"sensor": 1, "from": 60.0, "max": 3.0, "mean": 2.0}
    gateway.says(200, {"buckets": [first], "truncated": True, "next": "more"})
    gateway.says(200, {"buckets": [{**first, "from": 0.0}], "truncated": False, "next": None})
    wanted = Range("average", (1,), bucket="1m", aggregates=("mean", "max"), zone="Europe/Berlin")
    with Gateway(gateway.url) as client:
        assert list(client.blocks(wanted)) == [[(1, 60.0, 2.0, 3.0)], [(1, 0.0, 2.0, 3.0)]]
    assert wanted.columns == ("sensor", "from", "mean", "max")
    assert "bucket=1m&agg=mean%2Cmax&tz=Europe%2FBerlin" in gateway.asked[0]


def test_names_are_asked_for_once_and_only_for_numbers_that_may_have_one(gateway: _Answers) -> None:
    kitchen, other = number_of("kitchen"), 2**52
    rows = [(sensor, 1.5, 20.0) for sensor in (7, kitchen, other)]
    with Gateway(gateway.url) as client:
        assert client.named(Answer("latest", rows[:1])).names == {}
        assert gateway.asked == []
        gateway.says(200, {"names": [{"sensor": other - 1, "name": "x"}], "next": other - 1})
        gateway.says(200, {"names": [{"sensor": kitchen, "name": "kitchen"}], "next": None})
        for _ in range(2):
            assert client.named(Answer("latest", rows)).names[kitchen] == "kitchen"
    assert len(gateway.asked) == 2


def test_sensors_are_all_there_page_by_page(gateway: _Answers) -> None:
    known = [{"sensor": i, "count": 1, "first": 1.0, "last": 2.0, "last_value": 3.0} for i in range(3)]
    gateway.says(200, {"sensors": known[:2], "truncated": True, "next": 1})
    gateway.says(200, {"sensors": known[2:], "truncated": False, "next": None})
    with Gateway(gateway.url) as client:
        answer = client.sensors()
    assert [row[0] for row in answer.rows] == [0, 1, 2]
    assert answer.rows[0] == (0, 1, 1.0, 2.0, 3.0, None, None), "an average that has not come yet"
    assert gateway.asked[1].endswith("after=1")


def test_the_token_is_shown(gateway: _Answers) -> None:
    gateway.says(200, {"readings": [], "truncated": False})
    with Gateway(gateway.url, "secret") as client:
        client.latest()
    assert gateway.headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("token", ["with\nline", "ü", "\x00"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(UsageError, match="token") as caught:
        Gateway("http://127.0.0.1:1", token)
    assert token not in caught.value.message


def test_a_cut_list_of_sensors_is_not_complete(gateway: _Answers) -> None:
    gateway.says(200, {"readings": [{"sensor": 1, "timestamp": 1.5, "value": 2}], "truncated": True})
    with Gateway(gateway.url) as client:
        answer = client.latest()
    assert (answer.rows, answer.complete) == ([(1, 1.5, 2.0)], False)


INVALID = {
    "code": "invalid_parameters",
    "errors": [{"field": "max_points", "reason": "is too small"}, {"field": "tz", "reason": "bad"}],
}
UNKNOWN = {"code": "unknown_sensor", "detail": "no readings of sensor 9", "sensors": [9], "known": [7, 10]}


@pytest.mark.parametrize(
    ("status", "body", "error", "message", "hint"),
    [
        (404, UNKNOWN, UnknownName, "unknown sensor '9'", "sensors with near numbers: 7, 10"),
        (404, {**UNKNOWN, "known": []}, UnknownName, "unknown sensor '9'", "no sensor has sent anything yet"),
        (422, {"code": "invalid_parameters", "detail": "sensor: bad"}, UsageError, "sensor: bad", "see: bdemo"),
        (422, INVALID, UsageError, "--max-points: is too small; --tz: bad", "see: bdemo query --help"),
        (401, {"code": "unauthorized"}, ConfigurationInvalid, "the gateway at http", "pass its token with --token"),
        (406, {"code": "x", "detail": "forms"}, UsageError, "the gateway refuses the request: forms", "ask for less"),
        (429, {"code": "x", "detail": "busy"}, ServiceFailed, "the gateway is overloaded: busy", "try again in 7"),
        (
            503,
            {"code": "x", "detail": "PostgreSQL: away"},
            ServiceFailed,
            "PostgreSQL: away",
            "try again in 7 s; see: bdemo",
        ),
        (500, {"code": "unexpected"}, ServiceFailed, "the gateway answers 500: unexpected", "see: bdemo logs gateway"),
        (404, b"<html>", ServiceFailed, "what answers at", "check the URL"),
        (200, b"<html>", ServiceFailed, "what answers at", "check the URL"),
        (200, {"readings": 5}, ServiceFailed, "what answers at", "check the URL"),
        (302, b"", ServiceFailed, "what answers at", "check the URL"),
    ],
)
def test_a_bad_answer_is_an_error_with_a_hint(
    gateway: _Answers, status: int, body: object, error: type[BdemoError], message: str, hint: str
) -> None:
    gateway.says(status, body, Retry_After="7")
    with Gateway(gateway.url) as client, pytest.raises(error) as caught:
        client.latest([9])
    assert caught.value.message.startswith(message)
    assert caught.value.hint.startswith(hint)


def test_an_answer_that_breaks_off_is_an_error(gateway: _Answers) -> None:
    gateway.says(200, b'{"readings"', length=1000)
    gateway.says(200, b"sensor,timestamp,value\r\n", length=1000, Content_Type="text/csv; charset=utf-8")
    with Gateway(gateway.url) as client:
        with pytest.raises(ServiceFailed, match="broke off"):
            client.first(Range("range", (1,)), 1)
        with pytest.raises(ServiceFailed, match="broke off"):
            list(client.copy(Range("range"), "csv"))


def test_nobody_there() -> None:
    with Gateway("http://127.0.0.1:1") as client, pytest.raises(ServiceFailed, match="does not answer") as caught:
        client.latest()
    assert caught.value.hint == "see: bdemo status"


@pytest.mark.parametrize("url", ["", "127.0.0.1:8007", "ftp://x", "http://", "http://x:y", "nonsense"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UsageError, match="invalid URL"):
        Gateway(url)
