"""`bdemo tail` on the real stack, against what was produced."""

import asyncio
import itertools
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from backend_demo.cli.tail.lines import sent_by
from backend_demo.operations.kafka_record import KafkaRecord
from backend_demo.operations.tail.topic import Newest, Since, tail
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from tests.support.kafka import brokers
from tests.support.sensors import Publisher, new_sensor
from tests.support.wait import eventually

PARTITIONS = 3
NAMES = ("tail-a", "tail-b")
#: A few sensors whose records are rare and old, and one whose are many.
KEYS = [b"7", b"sensors/7/temperature", b"/sensor7/temp", *[b"8"] * 60, None, b"sensors/77/temperature"]


@asynccontextmanager
async def producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**brokers(settings).connection(), acks="all")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@pytest.fixture(scope="module")
def log(running: tuple[Settings, Stack]) -> list[KafkaRecord]:
    """Two topics of 4,000 records, times rising within each partition; in the order of their time."""
    return asyncio.run(_produce(running[0]))


async def _produce(settings: Settings) -> list[KafkaRecord]:
    admin = AIOKafkaAdminClient(**brokers(settings).connection())
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in NAMES])
    await admin.close()
    chance = random.Random(5)
    began = time.time() - 3000
    # one time a record, so that there is only one right order
    times = [began + i / 4 for i in range(8000)]
    found = []
    offsets: dict[tuple[str, int], int] = dict.fromkeys(itertools.product(NAMES, range(PARTITIONS)), 0)
    async with producer(settings) as kafka:
        for timestamp in times:
            place = chance.choice(list(offsets))
            rounded = round(timestamp, 3)
            key, value = chance.choice(KEYS), b"%d" % len(found)
            await kafka.send(place[0], value, key, place[1], timestamp_ms=round(timestamp * 1000))
            found.append(KafkaRecord(*place, offsets[place], rounded, key, value))
            offsets[place] += 1
        await kafka.flush()
    return found


def read(settings: Settings, begin: Newest | Since, sensor: int | None = None) -> list[KafkaRecord]:
    async def all_of_it() -> list[KafkaRecord]:
        wanted = None if sensor is None else sent_by(sensor, settings)
        batches = tail(brokers(settings), NAMES, begin, follow=False, wanted=wanted, notify=lambda text: None)
        async with aclosing(batches):
            return [record async for batch in batches for record in batch]

    return asyncio.run(all_of_it())


def of_sensor_7(log: list[KafkaRecord]) -> list[KafkaRecord]:
    return [record for record in log if record.key in (b"7", b"sensors/7/temperature", b"/sensor7/temp")]


@pytest.mark.parametrize("count", [0, 1, 10, 500, 10_000])
def test_the_newest_over_all_partitions_and_topics(settings: Settings, log: list[KafkaRecord], count: int) -> None:
    assert read(settings, Newest(count)) == log[max(0, len(log) - count) :]


@pytest.mark.parametrize("count", [1, 10, 100, 10_000])
def test_the_newest_of_one_sensor_however_far_back(settings: Settings, log: list[KafkaRecord], count: int) -> None:
    assert read(settings, Newest(count), sensor=7) == of_sensor_7(log)[-count:]


@pytest.mark.parametrize("at", [0, 1, 4000, 7999])
def test_since_a_time(settings: Settings, log: list[KafkaRecord], at: int) -> None:
    when = log[at].timestamp
    assert when is not None
    assert read(settings, Since(when)) == log[at:]
    assert read(settings, Since(when), sensor=7) == of_sensor_7(log[at:])


def test_since_the_beginning_and_since_the_future(settings: Settings, log: list[KafkaRecord]) -> None:
    assert read(settings, Since(0)) == log
    assert read(settings, Since(time.time() + 3600)) == []


def test_it_joins_no_consumer_group(settings: Settings, log: list[KafkaRecord]) -> None:
    async def groups() -> set[str]:
        admin = AIOKafkaAdminClient(**brokers(settings).connection())
        await admin.start()
        try:
            return {group[0] for group in await admin.list_consumer_groups()}
        finally:
            await admin.close()

    before = asyncio.run(groups())
    read(settings, Newest(10))
    assert asyncio.run(groups()) == before


def test_the_forms_of_output(bdemo: Any, log: list[KafkaRecord]) -> None:
    options = ("tail", "topic", *NAMES, "-n", "3", "--exit", "-o")
    documents = [json.loads(line) for line in bdemo(*options, "json").stdout.splitlines()]
    assert [document["offset"] for document in documents] == [record.offset for record in log[-3:]]
    assert [document["value"] for document in documents] == [7997, 7998, 7999]
    assert bdemo(*options, "value").stdout == "7997\n7998\n7999\n"
    pretty = bdemo(*options, "pretty").stdout.splitlines()
    assert [line.split()[-1] for line in pretty] == ["7997", "7998", "7999"]


def test_dead_letters_are_readable(settings: Settings, bdemo: Any) -> None:
    sensor = new_sensor()
    with Publisher(settings) as publisher:
        publisher.raw(f"sensors/{sensor}/temperature", b"\xff\x1b[2J")
        publisher.settle()
    words = ("tail", "topic", "dead-letter", "--sensor", str(sensor), "--exit")
    line = eventually(lambda: bdemo(*words).stdout, "the dead letter")
    assert "json in collection, from sensor-data" in line
    assert line.rstrip().endswith(r"\xff\x1b[2J")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["tail", "topic", "src-dta"], 9, "unknown topic 'src-dta'\nhint: did you mean src-data"),
        (["tail", "topic", "--since", "10x"], 2, "--since: invalid time '10x'"),
        (["tail", "topic", "-n", "1", "--from-beginning"], 2, "cannot be combined"),
        (["tail", "topic", "-n", "-1"], 2, "invalid value for '-n'"),
        (["tail", "topic", "--bootstrap", "nowhere"], 2, "invalid address 'nowhere'"),
        (["tail", "topic", "--bootstrap", "127.0.0.1:1"], 5, "cannot reach Kafka at 127.0.0.1:1\nhint: "),
        (["tail", "mqtt", "sensors/#/x"], 2, "invalid MQTT topic filter 'sensors/#/x'"),
        (["tail", "mqtt", "--duration", "10x"], 2, "--duration: invalid duration '10x'"),
        (
            ["tail", "mqtt", "--mqtt", "127.0.0.1:1"],
            5,
            "cannot reach an MQTT broker at 127.0.0.1:1: ",
        ),
    ],
)
def test_wrong_input_is_one_error_and_one_hint(bdemo: Any, words: list[str], code: int, message: str) -> None:
    told = bdemo(*words, code=code)
    assert told.stderr.startswith(f"error: {message}") or message in told.stderr.splitlines()[0]
    assert [line.split(":")[0] for line in told.stderr.splitlines()] == ["error", "hint"]
    assert not told.stdout


def test_without_a_stack(tmp_path: Path) -> None:
    for what in ("topic", "mqtt"):
        words = [sys.executable, "-m", "backend_demo", "tail", what, "--state-dir", str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 7
        assert done.stderr.startswith("error: no stack runs in ")


class Following:
    """A `bdemo tail` that goes on, its output in files."""

    def __init__(self, folder: Path, settings: Settings, *words: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        command = [sys.executable, "-m", "backend_demo", "tail", *words, "--state-dir", str(settings.state_dir)]
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err)

    def lines(self) -> list[str]:
        return self.out.read_text().splitlines()


@pytest.fixture
def following(tmp_path: Path, settings: Settings) -> Iterator[Callable[..., Following]]:
    begun: list[Following] = []

    def begin(*words: str) -> Following:
        begun.append(Following(tmp_path, settings, *words))
        return begun[-1]

    yield begin
    for one in begun:
        one.process.kill()
        one.process.wait(10)


def produce(settings: Settings, value: bytes) -> None:
    async def send() -> None:
        async with producer(settings) as kafka:
            await kafka.send_and_wait(NAMES[0], value)

    asyncio.run(send())


def test_it_follows_through_a_restart_of_kafka(
    settings: Settings, stack: Stack, log: list[KafkaRecord], following: Callable[..., Following]
) -> None:
    found = following("topic", *NAMES, "-n", "1", "-o", "value")
    eventually(found.lines, "the newest record")
    produce(settings, b"before")
    eventually(lambda: "before" in found.lines(), "a record that came while it followed")
    stack.stop("kafka")
    eventually(lambda: found.err.read_text() == "waiting for Kafka\n", "that it says why it is silent")
    stack.start("kafka")
    produce(settings, b"after")
    eventually(lambda: "after" in found.lines(), "a record that came after Kafka was away")
    assert found.lines()[-2:] == ["before", "after"]
    told = found.err.read_text()  # it may go and come several times until it serves
    assert told == "waiting for Kafka\nKafka is back\n" * told.count("back")


@pytest.mark.parametrize("what", ["topic", "mqtt"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_when_it_is_told_to(
    settings: Settings, following: Callable[..., Following], what: str, number: signal.Signals, code: int
) -> None:
    found = following(what, "-o", "value")
    sensor = new_sensor()
    with Publisher(settings) as publisher:

        def follows() -> bool:
            publisher.reading(sensor, time.time(), 20.0)
            return bool(found.lines())

        eventually(follows, "a line")
    found.process.send_signal(number)
    assert found.process.wait(10) == code
    assert "Traceback" not in found.err.read_text()


@pytest.mark.parametrize("what", [("topic", *NAMES, "-n", "5"), ("mqtt",)])
def test_it_ends_when_nobody_reads_any_more(settings: Settings, log: list[KafkaRecord], what: tuple[str, ...]) -> None:
    words = [sys.executable, "-m", "backend_demo", "tail", *what, "--state-dir", str(settings.state_dir)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == b""


def test_mqtt_messages_as_they_pass(settings: Settings, following: Callable[..., Following]) -> None:
    sensor, other = new_sensor(), new_sensor()
    found = following("mqtt", "--sensor", str(sensor), "-n", "3", "-o", "json")
    with Publisher(settings) as publisher:
        deadline = time.monotonic() + 30
        while found.process.poll() is None:
            assert time.monotonic() < deadline
            publisher.reading(other, time.time(), 20.0)
            publisher.reading(sensor, time.time(), 21.5)
            publisher.raw(f"/sensor{sensor}/temp", b"\xff")
            time.sleep(0.1)
    assert found.process.returncode == 0
    documents = [json.loads(line) for line in found.lines()]
    assert len(documents) == 3
    for document in documents:
        if document["topic"] == f"/sensor{sensor}/temp":
            assert document["payload"] == {"base64": "/w=="}
        else:
            assert document["topic"] == f"sensors/{sensor}/temperature"
            assert document["payload"]["value"] == 21.5
