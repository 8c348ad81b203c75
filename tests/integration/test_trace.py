"""`bdemo trace` on the real stack: each hop it tells is there, and when something stands still, it says where."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest

from backend_demo.domain.topics import AGGREGATED_DATA, DEAD_LETTER, PROCESSED_DATA, SENSOR_DATA, SRC_DATA
from backend_demo.operations.trace.follow import problem, trace
from backend_demo.operations.trace.path import ACKNOWLEDGED, PUBLISHED, SEEN, Trace
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.state.directory import StateDirectory
from tests.support.sensors import Publisher, new_sensor

TOPICS = [SENSOR_DATA, SRC_DATA, PROCESSED_DATA, AGGREGATED_DATA]


def run(settings: Settings, sensor: int, **options: Any) -> tuple[Trace, list[Trace]]:
    """The trace in the end, and all states that were reported."""
    told: list[Trace] = []
    found = asyncio.run(trace(settings, sensor, **{"timeout_s": 60.0, **options}, report=told.append))
    return found, told


def record_at(bdemo: Any, topic: str, partition: int, offset: int) -> dict[str, Any]:
    text = bdemo("tail", "topic", topic, "-n", "100", "--exit", "-o", "json").stdout
    (found,) = (
        record
        for record in map(json.loads, text.splitlines())
        if (record["partition"], record["offset"]) == (partition, offset)
    )
    return dict(found)


def test_a_published_reading_hop_by_hop(settings: Settings, bdemo: Any, sql: Any) -> None:
    sensor = new_sensor()
    found, told = run(settings, sensor, value=23.5)
    assert found.outcome == "served"
    assert problem(found, 60) is None
    assert (found.sensor, found.value) == (sensor, 23.5)
    hops = {hop.name: hop for hop in found.hops}
    assert set(hops) == {
        *(PUBLISHED, ACKNOWLEDGED, *TOPICS),
        *("table temperature", "table average", "REST /temperature", "REST /average"),
    }
    for topic in TOPICS:
        place = hops[topic].place
        record = record_at(bdemo, topic, place.partition, place.offset)  # type: ignore[arg-type]
        assert record["timestamp"] == pytest.approx(hops[topic].when)
        assert record["value"] == json.loads(place.value or "")
    for table in ("temperature", "average"):
        rows = sql(
            "select timestamp, value, extract(epoch from pg_xact_commit_timestamp(xmin))::float8 "
            f"from {table} where sensor_num = $1",
            sensor,
        )
        assert [tuple(row) for row in rows] == [(found.timestamp, 23.5, hops[f"table {table}"].when)]
        assert hops[f"REST /{table}"].place.value == "23.5"
    # states are reported as it comes on, never fewer hops than before
    assert len(told) >= len(hops)
    assert [len(state.hops) for state in told] == sorted(len(state.hops) for state in told)
    assert told[-1] == found


def test_again_the_sensors_newest_value_among_others_of_the_same_sensor(settings: Settings) -> None:
    sensor, ending = new_sensor(), threading.Event()

    def publish() -> None:
        with Publisher(settings) as publisher:
            while not ending.wait(0.01):
                publisher.reading(sensor, time.time(), 24.25)
                publisher.reading(new_sensor(), time.time(), 20.0)
            publisher.settle()

    run(settings, sensor, value=24.25)
    others = threading.Thread(target=publish)
    others.start()
    try:
        found, _ = run(settings, sensor)
    finally:
        ending.set()
        others.join(60)
    assert (found.outcome, found.value) == ("served", 24.25)


@pytest.mark.parametrize("original", [False, True])
def test_the_next_reading_that_the_sensor_publishes(settings: Settings, original: bool) -> None:
    sensor = new_sensor()
    observer = StateDirectory(settings.state_dir).attached(settings, mqtt="observer")
    topic = f"/sensor{sensor}/temp" if original else f"sensors/{sensor}/temperature"
    now = time.time()
    sent = json.dumps([{"value": 1, "timestamp": now - 1}, {"value": 22.5, "timestamp": now}]).encode()
    ending = threading.Event()

    def publish() -> None:
        """The same message again and again: the first is followed, whichever it is."""
        with Publisher(settings) as publisher:
            while not ending.wait(0.3):
                publisher.raw(topic, sent)
            publisher.settle()

    sensors = threading.Thread(target=publish)
    sensors.start()
    try:
        found, _ = run(observer, sensor, follow=True)
    finally:
        ending.set()
        sensors.join(60)
    # what was there when the trace began is told as such
    assert found.outcome in ("served", "repeated")
    assert (found.mqtt_topic, found.value) == (topic, 22.5)
    hops = [hop.name for hop in found.hops]
    assert hops[:4] == [SEEN, SENSOR_DATA, SRC_DATA, PROCESSED_DATA]
    assert {"table average", "REST /average"} <= set(hops)


@pytest.mark.parametrize(
    ("value", "stage", "reason", "last"),
    [("nan", "collection", "value", SENSOR_DATA), ("1e9", "processing", "range", SRC_DATA)],
)
def test_a_refused_value_ends_in_the_dead_letters(bdemo: Any, value: str, stage: str, reason: str, last: str) -> None:
    done = bdemo("trace", str(new_sensor()), "--value", value, "--timeout", "60s", "-o", "json", code=8)
    document = json.loads(done.stdout)
    assert document["schema"] == "bdemo.trace/1"
    assert document["outcome"] == "refused"
    assert (document["refusal"]["stage"], document["refusal"]["reason"]) == (stage, reason)
    assert [hop["name"] for hop in document["hops"]][-2:] == [last, DEAD_LETTER]
    assert document["error"]["message"].startswith(f"{stage} refuses the reading: {reason}: ")


def test_a_stage_that_stands_still_is_named(stack: Stack, bdemo: Any) -> None:
    stack.stop("processing")
    try:
        done = bdemo("trace", str(new_sensor()), "--timeout", "6s", code=17)
    finally:
        stack.start("processing")
    assert done.stderr.splitlines() == [
        "error: the reading has not come to processed-data within 6 s; it stands at src-data",
        "hint: that is the work of processing: bdemo status, bdemo logs processing",
    ]
    assert "src-data" in done.stdout


def test_a_sensor_that_publishes_nothing(bdemo: Any) -> None:
    sensor = str(new_sensor())
    done = bdemo("trace", sensor, "--next", "--timeout", "1s", code=17)
    assert f"error: sensor {sensor} published nothing within 1 s" in done.stderr
    assert not done.stdout


def test_without_a_gateway_it_ends_in_the_tables(settings: Settings) -> None:
    found, _ = run(settings.model_copy(update={"gateway_url": "http://127.0.0.1:1"}), new_sensor(), rest=False)
    assert found.outcome == "stored"
