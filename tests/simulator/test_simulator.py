"""The simulator against the real MQTT proxy, which is stopped, killed and replaced under it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.topics import PARTITIONS, SENSOR_DATA
from backend_demo.errors import ServiceFailed, UsageError
from backend_demo.mqtt.passwords import RANDOM_COST, StoredPassword
from backend_demo.mqtt.users_file import Rights, UserEntry, serialise
from backend_demo.settings import Settings
from backend_demo.simulator import ledger
from backend_demo.simulator.data_faults import Faults
from backend_demo.simulator.plan import Plan, SimulationProgress, Summary
from backend_demo.simulator.processes import simulate_in_processes
from backend_demo.simulator.sensors import simulate
from backend_demo.stack.services.table import SERVICES
from backend_demo.testing import running_stack
from tests.support.kafka import brokers as brokers_of
from tests.support.kafka import environment
from tests.support.ports import free_port, listens
from tests.support.wait import eventually

#: Everything of a stack but Kafka.
WITHOUT = tuple(name for name in SERVICES if name != "kafka")


class Broker:
    """The MQTT proxy as a child process, on the same port whenever it is started."""

    def __init__(self, found: Brokers, directory: Path) -> None:
        self.port, self._stats_port = free_port(), free_port()
        entry = UserEntry(StoredPassword.of(b"right", RANDOM_COST), Rights(publish=("#",)))
        users = directory / "users.json"
        users.write_text(serialise({"sensor": entry}))
        self._environment = {
            **os.environ,
            "BDEMO_STATE_DIR": str(directory),
            **environment(found),
            "BDEMO_MQTT_PORT": str(self.port),
            "BDEMO_MQTT_STATS_PORT": str(self._stats_port),
            "BDEMO_MQTT_USERS_FILE": str(users),
        }
        self._log = directory / "proxy.log"

    def start(self) -> None:
        command = [sys.executable, "-m", "backend_demo", "run", "mqtt", "--standalone"]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(command, env=self._environment, stderr=log)
        eventually(lambda: listens(self.port), f"the proxy listens, see {self._log}")

    def stop(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait(20)


class Arrived:
    """What has come to Kafka since it began to look, whatever became of the proxy meanwhile."""

    def __init__(self, found: Brokers) -> None:
        self.messages: list[tuple[str, bytes]] = []
        """MQTT topics and payloads."""
        self._looks = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read(found)))
        self._thread.start()
        assert self._looks.wait(30)

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    async def _read(self, found: Brokers) -> None:
        partitions = [TopicPartition(SENSOR_DATA, number) for number in range(PARTITIONS)]
        consumer = kafka.reader(found, "test")
        await consumer.start()
        try:
            consumer.assign(partitions)
            await consumer.seek_to_end(*partitions)
            for partition in partitions:
                await consumer.position(partition)
            self._looks.set()
            while not self._end.is_set():
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    self.messages += [(record.key.decode(), record.value) for record in records]
        finally:
            await consumer.stop()

    def readings(self) -> list[tuple[int, float, float]]:
        """Sensor, time and value of what has come, doubles too."""
        items = []
        for topic, payload in list(self.messages):
            content = json.loads(payload)
            sensor = int("".join(filter(str.isdigit, topic)))
            of = content if isinstance(content, list) else [content]
            items += [(sensor, float(item["timestamp"]), float(item["value"])) for item in of]
        return items


@pytest.fixture(scope="module")
def brokers() -> Iterator[Brokers]:
    with running_stack(without=WITHOUT) as (settings, _):
        yield brokers_of(settings)


@pytest.fixture
def broker(brokers: Brokers, tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(brokers, tmp_path)
    broker.start()
    yield broker
    broker.stop(signal.SIGKILL)


@pytest.fixture
def arrived(brokers: Brokers) -> Iterator[Arrived]:
    arrived = Arrived(brokers)
    yield arrived
    arrived.close()


@pytest.fixture
def settings(broker: Broker) -> Settings:
    """Where sensors reach the broker."""
    return Settings(mqtt_port=broker.port, mqtt_username="sensor", mqtt_password="right")


class Background:
    """A simulation in a thread of its own."""

    def __init__(self, settings: Settings, plan: Plan, **options: Any) -> None:
        self.stop = threading.Event()
        self.progress: list[SimulationProgress] = []
        self._result: list[Summary] = []
        self._thread = threading.Thread(target=self._run, args=(settings, plan), kwargs=options)
        self._thread.start()

    def _run(self, settings: Settings, plan: Plan, **options: Any) -> None:
        self._result.append(simulate(settings, plan, on_progress=self.progress.append, stop=self.stop, **options))

    def sent(self) -> int:
        return self.progress[-1].sent if self.progress else 0

    def summary(self, timeout_s: float = 60) -> Summary:
        self._thread.join(timeout_s)
        assert self._result, "the simulation ended with an error, or not at all"
        return self._result[0]


def entries(path: Path, state: str) -> set[tuple[int, float, float]]:
    return {(entry.sensor, entry.timestamp, entry.value) for entry in ledger.read(path) if entry.state == state}


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_reading_arrives_once_as_the_ledger_tells(
    settings: Settings, arrived: Arrived, tmp_path: Path, qos: Any
) -> None:
    path = tmp_path / "ledger.jsonl"
    summary = simulate(settings, Plan(sensors=7, rate=100, count=1000, qos=qos), ledger=path)
    eventually(lambda: len(arrived.messages) >= 1000, "all messages")
    assert summary.sent == summary.messages == 1000
    assert summary.acknowledged == (1000 if qos else 0)
    assert (summary.failed, summary.unsent, summary.interrupted) == (0, 0, False)
    readings = arrived.readings()
    assert len(readings) == len(set(readings)) == 1000
    assert set(readings) == entries(path, "sent")
    assert entries(path, "acked") == (set(readings) if qos else set())


def test_processes_share_the_sensors_and_the_ledger(settings: Settings, arrived: Arrived, tmp_path: Path) -> None:
    path, seen = tmp_path / "ledger.jsonl", list[SimulationProgress]()
    plan = Plan(sensors=7, first_sensor=100, rate=50, count=700)
    summary = simulate_in_processes(settings, plan, 3, ledger=path, on_progress=seen.append, stop=threading.Event())
    assert (summary.sent, summary.acknowledged, summary.failed, summary.unsent) == (700, 700, 0, 0)
    eventually(lambda: len(arrived.messages) >= 700, "all messages")
    readings = arrived.readings()
    assert len(readings) == len(set(readings)) == 700
    assert Counter(sensor for sensor, _, _ in readings) == dict.fromkeys(range(100, 107), 100)
    assert set(readings) == entries(path, "sent") == entries(path, "acked")
    assert seen[-1].total == 700


def test_processes_end_together(settings: Settings, broker: Broker) -> None:
    stop = threading.Event()
    threading.Timer(3, stop.set).start()
    endless = Plan(sensors=4, rate=10)
    assert simulate_in_processes(settings, endless, 2, on_progress=lambda now: None, stop=stop).interrupted
    broker.stop(signal.SIGKILL)
    with pytest.raises(ServiceFailed, match="cannot reach an MQTT broker"):
        simulate_in_processes(settings, endless, 2, on_progress=lambda now: None, stop=threading.Event())


def test_readings_come_at_their_rate_and_carry_the_time_at_which_they_fell_due(
    settings: Settings, arrived: Arrived
) -> None:
    began = time.time()
    summary = simulate(settings, Plan(sensors=4, rate=25, duration_s=2))
    assert summary.sent == 200
    assert summary.seconds > 1.9
    eventually(lambda: len(arrived.messages) == 200, "all messages")
    times = sorted(timestamp for _, timestamp, _ in arrived.readings())
    assert began < times[0]
    assert times[-1] - times[0] == pytest.approx(1.99, abs=0.01)


def test_faults_in_the_data_are_counted_and_arrive(settings: Settings, arrived: Arrived, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    faults = Faults(drop=0.1, duplicate=0.2, late=0.2)
    summary = simulate(settings, Plan(sensors=3, rate=500, count=1000, faults=faults), ledger=path)
    assert summary.sent == 1000 - summary.dropped
    assert summary.messages == summary.sent + summary.duplicated
    eventually(lambda: len(arrived.messages) == summary.messages, "all messages")
    readings = arrived.readings()
    assert set(readings) == entries(path, "acked")
    assert sorted(Counter(Counter(readings).values()).items()) == [
        (1, summary.sent - summary.duplicated),
        (2, summary.duplicated),
    ]
    assert summary.late > 100
    for sensor in (1, 2, 3):
        times = [timestamp for of, timestamp, _ in readings if of == sensor]
        assert times != sorted(times)


def test_corrupt_messages_arrive_byte_for_byte_and_stay_out_of_the_ledger(
    settings: Settings, arrived: Arrived, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.jsonl"
    summary = simulate(settings, Plan(sensors=3, rate=500, count=300, faults=Faults(corrupt=1)), ledger=path)
    assert (summary.sent, summary.corrupted, summary.messages) == (0, 300, 300)
    eventually(lambda: len(arrived.messages) == 300, "all messages")
    assert len({payload for _, payload in arrived.messages}) > 30
    assert path.read_bytes() == b""


def test_batches_and_the_originals_topics(settings: Settings, arrived: Arrived, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    plan = Plan(sensors=3, rate=500, count=100, batch=8, topics="original", kind="int")
    summary = simulate(settings, plan, ledger=path)
    assert (summary.sent, summary.messages) == (100, 15)
    eventually(lambda: len(arrived.messages) == 15, "all messages")
    assert {topic for topic, _ in arrived.messages} == {"/sensor1/temp", "/sensor2/temp", "/sensor3/temp"}
    assert set(arrived.readings()) == entries(path, "acked")


def test_ten_thousand_sensors_over_four_connections(settings: Settings, arrived: Arrived) -> None:
    summary = simulate(settings, Plan(sensors=10_000, rate=0.5, duration_s=2))
    assert summary.sent == summary.acknowledged == 10_000
    eventually(lambda: len(arrived.messages) == 10_000, "all messages")
    assert len({topic for topic, _ in arrived.messages}) == 10_000


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_goes_on_when_the_broker_was_away(
    broker: Broker, settings: Settings, arrived: Arrived, tmp_path: Path, how: signal.Signals
) -> None:
    path = tmp_path / "ledger.jsonl"
    run = Background(settings, Plan(sensors=5, rate=100, duration_s=5), ledger=path)
    eventually(lambda: run.sent() > 500, "readings before the outage")
    broker.stop(how)
    eventually(lambda: not run.progress[-1].connected, "the outage is noticed")
    time.sleep(1)
    broker.start()
    summary = run.summary()
    assert summary.sent == summary.acknowledged == 2500
    assert (summary.failed, summary.unsent) == (0, 0)
    acked = entries(path, "acked")
    eventually(lambda: set(arrived.readings()) >= acked, "all that was acknowledged", 30)
    assert set(arrived.readings()) == acked == entries(path, "sent")


def test_readings_fail_when_the_broker_stays_away(broker: Broker, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    run = Background(settings, Plan(sensors=100, rate=100, duration_s=2, flush_s=1), ledger=path)
    eventually(lambda: run.sent() > 1000, "readings before the outage")
    broker.stop(signal.SIGKILL)
    summary = run.summary()
    assert summary.failed == summary.sent - summary.acknowledged
    assert summary.unsent == 20_000 - summary.sent
    assert summary.unsent > 0
    assert len(entries(path, "failed")) == summary.failed
    assert entries(path, "sent") == entries(path, "acked") | entries(path, "failed")
    broker.start()


def test_stop_ends_a_run_without_end_and_waits_for_what_is_out(settings: Settings, tmp_path: Path) -> None:
    run = Background(settings, Plan(sensors=5, rate=200), ledger=tmp_path / "ledger.jsonl")
    eventually(lambda: run.sent() > 300, "some readings")
    run.stop.set()
    summary = run.summary(5)
    assert summary.interrupted
    assert summary.sent == summary.acknowledged > 300
    assert (summary.failed, summary.unsent) == (0, 0)


def test_kill_9_loses_no_line_of_what_was_acknowledged(settings: Settings, arrived: Arrived, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from backend_demo.settings import Settings\n"
        "from backend_demo.simulator.plan import Plan\n"
        "from backend_demo.simulator.sensors import simulate\n"
        "settings = Settings(mqtt_port=int(sys.argv[1]), mqtt_username='sensor', mqtt_password='right')\n"
        "simulate(settings, Plan(sensors=20, rate=1000), ledger=Path(sys.argv[2]))\n"
    )
    for _ in range(3):  # the later runs add to the ledger, and use no time again
        before = len(arrived.messages)
        child = subprocess.Popen([sys.executable, "-c", program, str(settings.mqtt_port), str(path)])
        eventually(lambda before=before: len(arrived.messages) > before + 1000, "readings")
        child.kill()
        child.wait(10)
    sent, acked = entries(path, "sent"), entries(path, "acked")
    assert len({(sensor, timestamp) for sensor, timestamp, _ in sent}) == len(sent)
    assert acked <= sent
    eventually(lambda: set(arrived.readings()) >= acked, "all that was acknowledged")
    assert set(arrived.readings()) <= sent


def test_a_wrong_password_is_told(settings: Settings) -> None:
    wrong = settings.model_copy(update={"mqtt_password": "wrong"})
    with pytest.raises(ServiceFailed, match="refuses user 'sensor'") as refused:
        simulate(wrong, Plan(count=1))
    assert "BDEMO_MQTT_PASSWORD" in refused.value.hint


def test_no_broker_is_told() -> None:
    with pytest.raises(ServiceFailed, match="connection refused"):
        simulate(Settings(mqtt_port=free_port()), Plan(count=1))


def test_what_is_no_broker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend_demo.simulator.sensors.CONNECT_S", 0.5)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(ServiceFailed, match="does not answer as an MQTT broker"):
            simulate(Settings(mqtt_port=mute.getsockname()[1]), Plan(count=1))


def test_a_batch_that_no_message_can_hold_is_a_usage_error(settings: Settings) -> None:
    with pytest.raises(UsageError, match="too many for one message") as refused:
        simulate(settings, Plan(batch=1000))
    largest = int(refused.value.hint.rsplit(" ", 1)[1])
    assert simulate(settings, Plan(batch=largest, sensors=1, rate=1000, count=largest)).messages == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_ends_cleanly_when_it_is_interrupted(
    settings: Settings, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    path = tmp_path / "ledger.jsonl"
    environment = {**os.environ, "BDEMO_MQTT_USERNAME": "sensor", "BDEMO_MQTT_PASSWORD": "right"}
    command = [sys.executable, "-m", "backend_demo", "simulate", "--mqtt", f"127.0.0.1:{settings.mqtt_port}"]
    child = subprocess.Popen(
        [*command, "--rate", "100", "--ledger", str(path), "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    eventually(lambda: path.exists() and len(entries(path, "acked")) > 100, "some readings")
    child.send_signal(number)
    out, err = child.communicate(timeout=20)
    assert child.returncode == code, err
    summary = json.loads(out)
    assert (summary["schema"], summary["interrupted"], summary["failed"]) == ("bdemo.simulate/1", True, 0)
    assert summary["acknowledged"] == len(entries(path, "acked")) == len(entries(path, "sent"))
    assert b"Traceback" not in err
