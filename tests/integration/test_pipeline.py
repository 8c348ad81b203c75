"""Readings on the real stack: late, repeated, conflicting and bad ones, and what stands in the tables afterwards."""

import json
import random
import time
from typing import Any

import pytest

from backend_demo.settings import Settings
from tests.support.kafka import brokers
from tests.support.sensors import Publisher, exact, new_sensor
from tests.support.wait import eventually


def test_readings_arrive_once_with_exact_averages(settings: Settings, sql: Any) -> None:
    sensors = [new_sensor() for _ in range(5)]
    now = time.time()
    with Publisher(settings) as publisher:
        for i in range(1000):
            publisher.reading(sensors[i % 5], now - 100 + i / 10, 20 + i % 7)
        publisher.settle()
        exact(sql, publisher.acknowledged)


def test_shuffled_late_and_repeated_readings(settings: Settings, sql: Any) -> None:
    """Up to and beyond what the aggregation's window holds: repairs make those exact."""
    sensor, other = new_sensor(), new_sensor()
    chance = random.Random(7)
    now = time.time()
    readings = [(sensor, now - 1000 + i, round(chance.uniform(20, 30), 1)) for i in range(300)]
    nearly = sorted(range(300), key=lambda i: i + chance.uniform(0, 12))
    with Publisher(settings) as publisher:
        for i in nearly:
            publisher.reading(*readings[i])
            if i % 10 == 0:
                publisher.reading(*readings[i])
        for i in chance.sample(range(300), 40):
            publisher.reading(other, readings[i][1], readings[i][2])
        publisher.reading(sensor, now - 5000, 25.0)
        publisher.reading(sensor, now - 995.5, 21.0)
        publisher.settle()
        exact(sql, publisher.acknowledged)


def test_of_two_values_under_one_identity_the_first_wins(settings: Settings, sql: Any, bdemo: Any) -> None:
    sensor, now = new_sensor(), time.time()
    with Publisher(settings) as publisher:
        publisher.reading(sensor, now, 20.0)
        publisher.settle()
        exact(sql, {(sensor, publisher_time(now)): 20.0})
        publisher.reading(sensor, now, 21.0)
        publisher.reading(sensor, now, 20.0)
        publisher.reading(sensor, now + 1, 22.0)
        publisher.settle()
    exact(sql, {(sensor, publisher_time(now)): 20.0, (sensor, publisher_time(now + 1)): 22.0})
    assert [letter["headers"]["reason"] for letter in dead_letters(bdemo, sensor)] == ["conflict"]


def publisher_time(timestamp: float) -> float:
    return round(timestamp * 1e6) / 1e6


def dead_letters(bdemo: Any, sensor: int) -> list[dict[str, Any]]:
    """The sensor's dead letters: its number is in their key or in their bytes."""
    text = bdemo("tail", "topic", "dead-letter", "--from-beginning", "--exit", "-o", "json").stdout
    return [letter for letter in map(json.loads, text.splitlines()) if str(sensor) in json.dumps(letter)]


#: payload, and the reason for which it is refused
BAD = [
    (b"", "empty"),
    (b"[]", "empty"),
    (b"x", "json"),
    (b"\xff\xfe\x00", "json"),
    (b"\xef\xbb\xbf{}", "json"),
    (b'{"value": 20, "timestamp": 1700000000} trailing', "json"),
    (b'{"value": NaN, "timestamp": 1700000000}', "json"),
    (b"[" * 16_000, "json"),
    (b'{"value": 20}', "field"),
    (b'{"value": true, "timestamp": 1700000000}', "field"),
    (b'{"value": 20, "value": 21, "timestamp": 1700000000}', "field"),
    (b'{"value": "25 ", "timestamp": 1700000000}', "value"),
    (b'{"value": "NaN", "timestamp": 1700000000}', "value"),
    (b'{"value": ' + b"9" * 5000 + b', "timestamp": 1700000000}', "value"),
    (b'{"value": 20, "timestamp": "yesterday"}', "time"),
    (b'{"value": 20, "timestamp": -1}', "old"),
    (b'{"value": 20, "timestamp": 1700000000000}', "future"),
    (b'{"value": 201, "timestamp": 1700000000}', "range"),
    (b"x" * 16_385, "size"),
]


def test_bad_payloads_become_dead_letters_and_disturb_nothing(settings: Settings, sql: Any, bdemo: Any) -> None:
    sensor, now = new_sensor(), time.time()
    topic = f"/sensor{sensor}/temp"
    with Publisher(settings) as publisher:
        for i, (payload, _) in enumerate(BAD):
            publisher.reading(sensor, now + i / 1000, 20.0)
            publisher.raw(topic, payload)
        good = {"value": "22", "timestamp": str(now + 1)}
        array = json.dumps([good, {"value": "warm", "timestamp": now}, {"value": 23, "timestamp": now + 2}])
        publisher.raw(topic, array.encode())
        publisher.settle()
        expected = {
            **publisher.acknowledged,
            (sensor, publisher_time(now + 1)): 22.0,
            (sensor, publisher_time(now + 2)): 23.0,
        }
    exact(sql, expected)
    found = eventually(lambda: len(got := dead_letters(bdemo, sensor)) > len(BAD) and got, "dead letters")
    reasons = sorted(letter["headers"]["reason"] for letter in found)
    assert reasons == sorted([reason for _, reason in BAD] + ["value"])
    assert {letter["headers"]["stage"] for letter in found} == {"mqtt", "collection", "processing"}


@pytest.mark.parametrize("topic", ["/floor3/sensor{}/temp", "sensors/{}/humidity", "sensors/0{}/temperature", "/{}"])
def test_a_topic_without_a_sensor_becomes_a_dead_letter(settings: Settings, bdemo: Any, topic: str) -> None:
    sensor = new_sensor()
    with Publisher(settings) as publisher:
        publisher.raw(topic.format(sensor), b'{"value": 20, "timestamp": 1700000000}')
        publisher.settle()
    (letter,) = eventually(lambda: dead_letters(bdemo, sensor), "a dead letter")
    assert letter["headers"]["reason"] == "topic"


def test_bad_records_in_later_topics_become_dead_letters(settings: Settings, sql: Any, bdemo: Any) -> None:
    """Somebody else's records on our topics: no key, a wrong key, no value, no JSON."""
    import asyncio

    from backend_demo.domain import topics
    from backend_demo.faust_batch.producer import BatchProducer

    sensor = new_sensor()
    number = str(sensor).encode()
    reading = b'{"sensor":%d,"timestamp":5.0,"value":20.0}' % sensor

    async def produce() -> None:
        producer = BatchProducer(**brokers(settings).connection(), client_id="test")
        records = [(None, reading), (b"0", reading), (number, None), (number, b"{}"), (number, b"\x00")]
        await producer.send({(topic, 3): records for topic in (topics.SRC_DATA, topics.PROCESSED_DATA)})
        await producer.send(
            {(topics.SENSOR_DATA, 3): [(None, b"%d" % sensor), (f"/sensor{sensor}/temp".encode(), None)]}
        )
        await producer.send({(topics.AGGREGATED_DATA, 3): [(number, b"{}"), (number, b'{"sensor":1,"timestamp":2}')]})
        await producer.stop()

    asyncio.run(produce())
    found = eventually(lambda: len(got := dead_letters(bdemo, sensor)) >= 14 and got, "dead letters")
    by_topic = sorted((letter["headers"]["origin-topic"], letter["headers"]["reason"]) for letter in found)
    assert by_topic == sorted(
        [
            (topic, reason)
            for topic in ("src-data", "processed-data")
            for reason in ("key", "key", "empty", "json", "json")
        ]
        + [("sensor-data", "key"), ("sensor-data", "empty"), ("aggregated-data", "json"), ("aggregated-data", "field")]
    )
    assert sql("select * from temperature where sensor_num = $1", sensor) == []


def test_a_forged_repair_becomes_a_dead_letter_and_averages_go_on(settings: Settings, sql: Any, bdemo: Any) -> None:
    """It waits for a reading that is not there, and everything behind it in its partition waits too."""
    import asyncio

    from backend_demo.domain.reading import Aggregate, encode
    from backend_demo.domain.topics import AGGREGATED_DATA, PARTITIONS
    from backend_demo.faust_batch.producer import BatchProducer, partition_of

    sensor, now = new_sensor(), round(time.time(), 3)
    key = b"%d" % sensor

    async def forge() -> None:
        producer = BatchProducer(**brokers(settings).connection(), client_id="test")
        forged = encode(Aggregate(sensor, now, repair=10**12))
        await producer.send({(AGGREGATED_DATA, partition_of(key, PARTITIONS)): [(key, forged)]})
        await producer.stop()

    asyncio.run(forge())
    sent = 0

    def averages_go_on() -> bool:
        nonlocal sent
        publisher.reading(sensor, now + sent, 20.0)
        publisher.settle()
        sent += 1
        return bool(sql("select count(*) from average where sensor_num = $1", sensor)[0][0])

    with Publisher(settings) as publisher:
        eventually(averages_go_on, "an average behind it")
    (letter,) = dead_letters(bdemo, sensor)
    assert (letter["headers"]["stage"], letter["headers"]["reason"]) == ("loader", "field")
    assert "repairs offset 1000000000000 of processed-data" in letter["headers"]["detail"]
