"""POST /v1/readings on the real stack: what is accepted is in the table once, what is refused is said and kept."""

import gzip
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from backend_demo.domain.names import number_of
from backend_demo.domain.reading import normalized
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from tests.support.live import metric
from tests.support.sensors import Publisher, exact, new_sensor
from tests.support.services import all_ready
from tests.support.shell import Shell
from tests.support.wait import eventually

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Rows = dict[tuple[int, float], float]

JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"


@pytest.fixture
def http(settings: Settings) -> Iterator[httpx.Client]:
    """As the MQTT user who may publish everything."""
    user = (settings.mqtt_username, settings.mqtt_password)
    with httpx.Client(base_url=settings.gateway_url, auth=user, timeout=30) as client:
        yield client


def post(http: httpx.Client, body: bytes, media_type: str = JSON, **more: Any) -> httpx.Response:
    headers = {"Content-Type": media_type, **more.pop("headers", {})}
    return http.post("/v1/readings", content=body, headers=headers, **more)


def readings(sensor: int, count: int) -> Rows:
    begin = time.time() - count
    return {(sensor, normalized(begin + number)): number % 50 + 0.25 for number in range(count)}


def items(rows: Rows) -> list[dict[str, Any]]:
    return [{"sensor": sensor, "value": value, "timestamp": at} for (sensor, at), value in rows.items()]


def as_json(rows: Rows) -> bytes:
    return json.dumps(items(rows)).encode()


def as_ndjson(rows: Rows) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items(rows))


def as_csv(rows: Rows) -> bytes:
    lines = [f"{sensor},{at!r},{value!r}\r\n" for (sensor, at), value in rows.items()]
    return "".join(["sensor,timestamp,value\r\n", *lines]).encode()


def told(answer: httpx.Response, accepted: int, *reasons: tuple[int, str]) -> None:
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["accepted"], found["refused"], found["refused_more"]) == (accepted, len(reasons), 0)
    assert [(one["index"], one["reason"]) for one in found["refusals"]] == list(reasons)
    assert all(one["detail"] for one in found["refusals"])


@pytest.mark.parametrize(("media_type", "form"), [(JSON, as_json), (NDJSON, as_ndjson), (CSV, as_csv)])
def test_every_form_and_coding_and_twice_is_once(
    http: httpx.Client, settings: Settings, sql: Any, media_type: str, form: Any
) -> None:
    before = metric(settings, "bdemo_http_readings_total")
    everything: Rows = {}
    for coding, compress in (("identity", bytes), ("gzip", gzip.compress), ("zstd", zstd.compress)):
        rows = readings(new_sensor(), 40)
        for _ in range(2):
            told(post(http, compress(form(rows)), media_type, headers={"Content-Encoding": coding}), 40)
        everything |= rows
    exact(sql, everything)
    assert metric(settings, "bdemo_http_readings_total") == before + 240


def test_a_single_object_and_all_forms_of_numbers_and_times(http: httpx.Client, sensor: int, sql: Any) -> None:
    told(post(http, json.dumps({"sensor": sensor, "value": 21, "timestamp": 1_600_000_000.25}).encode()), 1)
    texts = {"sensor": str(sensor), "value": "22.5", "timestamp": "2020-09-13T12:26:41.250000Z"}
    told(post(http, json.dumps([texts]).encode()), 1)
    exact(sql, {(sensor, 1_600_000_000.25): 21.0, (sensor, 1_600_000_001.25): 22.5})


def test_a_sensor_with_a_name(http: httpx.Client, sql: Any) -> None:
    name = f"kitchen {new_sensor()}"
    told(post(http, json.dumps({"sensor": name, "value": 21, "timestamp": 1_600_000_000.25}).encode()), 1)
    exact(sql, {(number_of(name), 1_600_000_000.25): 21.0})


def test_the_same_reading_by_mqtt_and_by_http_is_one(http: httpx.Client, settings: Settings, sql: Any) -> None:
    rows = readings(new_sensor(), 20)
    with Publisher(settings) as publisher:
        for (sensor, at), value in rows.items():
            publisher.reading(sensor, at, value)
        publisher.settle()
    told(post(http, as_json(rows)), 20)
    exact(sql, rows)


def test_many_readings_in_one_request(http: httpx.Client, sql: Any) -> None:
    rows: Rows = {}
    for _ in range(10):
        rows |= readings(new_sensor(), 3000)
    told(post(http, gzip.compress(as_ndjson(rows)), NDJSON, headers={"Content-Encoding": "gzip"}), 30_000)
    exact(sql, rows)


def test_refused_items_have_index_and_reason_and_become_dead_letters(
    http: httpx.Client, settings: Settings, sensor: int, sql: Any
) -> None:
    now = time.time()
    good = {"sensor": sensor, "value": 20, "timestamp": normalized(now)}
    body = [
        good,
        {**good, "value": "warm"},
        {**good, "value": 5000},
        {**good, "timestamp": now + 7200},
        {"value": 1, "timestamp": now},
        7,
    ]
    reasons = [(1, "value"), (2, "range"), (3, "future"), (4, "field"), (5, "json")]
    told(post(http, json.dumps(body).encode()), 1, *reasons)
    exact(sql, {(sensor, good["timestamp"]): 20.0})

    def letters() -> list[dict[str, Any]]:
        answer = httpx.get(f"{settings.gateway_url}/v1/dead-letters?sensor={sensor}&stage=gateway", timeout=30)
        found: list[dict[str, Any]] = answer.json()["dead_letters"]
        return found

    eventually(lambda: len(letters()) == 3, "the dead letters that name the sensor")
    assert {one["reason"] for one in letters()} == {"value", "range", "future"}
    assert {one["topic"] for one in letters()} == {"POST /v1/readings"}
    assert json.loads(next(one["payload"] for one in letters() if one["reason"] == "value")) == body[1]


@pytest.mark.parametrize(
    ("body", "media_type", "code"),
    [
        (b"", JSON, "nothing_accepted"),
        (b"[]", JSON, "nothing_accepted"),
        (b"hello", JSON, "nothing_accepted"),
        (b'{"sensor": 1}', JSON, "nothing_accepted"),
        (b"sensor,timestamp,value\r\n", CSV, "nothing_accepted"),
        (b"1,2,3\r\n", CSV, "invalid_header"),
    ],
)
def test_nothing_accepted(http: httpx.Client, body: bytes, media_type: str, code: str) -> None:
    answer = post(http, body, media_type)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_an_array_that_breaks_off_keeps_what_came_before(http: httpx.Client, sql: Any) -> None:
    rows = readings(new_sensor(), 5)
    told(post(http, as_json(rows)[:-1]), 4, (4, "json"))
    exact(sql, dict(list(rows.items())[:4]))


class TestWhoMayPublish:
    """Only an MQTT user, and only where its rights allow."""

    def test_without_or_with_wrong_credentials(self, settings: Settings, http: httpx.Client) -> None:
        body = as_json(readings(1, 1))
        wrong = ((settings.mqtt_username, "wrong"), ("nobody", settings.mqtt_password))
        with httpx.Client(base_url=settings.gateway_url, timeout=30) as anonymous:
            answers = [post(anonymous, body), *(post(anonymous, body, auth=each) for each in wrong)]
        assert [answer.status_code for answer in answers] == [401] * 3
        assert {answer.headers["www-authenticate"].split()[0] for answer in answers} == {"Basic"}

    def test_a_user_without_the_right(self, settings: Settings, bdemo: Shell, sensor: int, sql: Any) -> None:
        other = new_sensor()
        added = bdemo("mqtt", "user", "add", "kitchen", "--publish", f"sensors/{sensor}/#", "-o", "json")
        user = ("kitchen", json.loads(added.stdout)["password"])
        try:
            with httpx.Client(base_url=settings.gateway_url, auth=user, timeout=30) as http:
                mine, theirs = readings(sensor, 2), readings(other, 2)
                told(post(http, as_json({**mine, **theirs})), 2, (2, "rights"), (3, "rights"))
                answer = post(http, as_json(theirs))
                assert (answer.status_code, answer.json()["code"]) == (422, "nothing_accepted")
                bdemo("mqtt", "user", "rm", "kitchen")
                assert post(http, as_json(mine)).status_code == 401
        finally:
            bdemo("mqtt", "user", "ls")
        exact(sql, mine)
        assert sql("select 1 from temperature where sensor_num = $1", other) == []

    def test_a_page_of_another_origin(self, http: httpx.Client) -> None:
        answer = post(http, as_json(readings(1, 1)), headers={"Origin": "http://evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin")


class TestLimits:
    """What is too large, or not as the head says."""

    def test_too_large(self, http: httpx.Client, settings: Settings) -> None:
        answer = post(http, b" " * (settings.ingest_max_bytes + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "content_too_large")

    def test_the_largest_body(self, http: httpx.Client, settings: Settings, sensor: int, sql: Any) -> None:
        rows = readings(sensor, 3)
        body = as_json(rows)
        told(post(http, body + b" " * (settings.ingest_max_bytes - len(body))), 3)
        exact(sql, rows)

    @pytest.mark.parametrize("coding", ["gzip", "zstd"])
    def test_a_bomb(self, http: httpx.Client, settings: Settings, coding: str, sensor: int, sql: Any) -> None:
        rows = readings(sensor, 3)
        plain = as_ndjson(rows) + bytes(8 * settings.ingest_max_bytes)
        body = gzip.compress(plain, 1) if coding == "gzip" else zstd.compress(plain)
        answer = post(http, body, NDJSON, headers={"Content-Encoding": coding})
        assert (answer.status_code, answer.json()["code"]) == (413, "content_too_large")
        assert answer.json()["refused"] <= 1

    def test_what_is_not_supported(self, http: httpx.Client) -> None:
        body = as_json(readings(1, 1))
        for media_type in ("text/plain", "application/x-www-form-urlencoded", ""):
            assert post(http, body, media_type).status_code == 415
        answer = post(http, body, headers={"Content-Encoding": "br"})
        assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, zstd")
        answer = post(http, body, headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_content_encoding")


def test_while_kafka_is_away_nothing_is_acknowledged(http: httpx.Client, stack: Stack, sensor: int, sql: Any) -> None:
    first, rows = readings(sensor, 1), readings(sensor, 30)
    told(post(http, as_json(first)), 1)
    stack.stop("kafka")
    try:
        for _ in range(3):
            answer = post(http, as_json(rows))
            assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
            assert (answer.headers["retry-after"], answer.json()["accepted"]) == ("2", 0)
        assert http.get("/v1/latest").status_code == 200
    finally:
        stack.start("kafka")
    eventually(lambda: all_ready(stack), "the stack is ready again", 120)
    eventually(lambda: post(http, as_json(rows)).status_code == 200, "readings are accepted again")
    exact(sql, first | rows)
