"""The simulator against the stack's real MQTT broker, which is stopped, killed and replaced under it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest

from backend_demo.errors import ServiceFailed, UsageError
from backend_demo.settings import Settings
from backend_demo.simulator import ledger
from backend_demo.simulator.data_faults import Faults
from backend_demo.simulator.plan import Plan, Progress, Summary
from backend_demo.simulator.sensors import simulate

CONFIGURATION = """
server_name: sensors_test
listen: 127.0.0.1:{nats_port}
max_payload: 64KB
jetstream {{ store_dir: "{store}", max_memory_store: 16MB, max_file_store: 256MB }}
mqtt {{ listen: 127.0.0.1:{port}, max_ack_pending: 1024, ack_wait: "5s" }}
authorization {{ users: [
  {{ user: sensor, password: "right",
     permissions: {{ publish: ["sensors.>", "/.*.temp"], subscribe: {{ deny: ">" }} }} }},
  {{ user: bridge, password: "right" }}
] }}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], object], what: str, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


class Broker:
    """NATS as a child process, on the same ports and the same store whenever it is started."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._configuration = directory / "nats.conf"
        self._configuration.write_text(
            CONFIGURATION.format(port=self.port, nats_port=free_port(), store=directory / "store")
        )
        self._log = directory / "nats.log"

    def start(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(["nats-server", "-c", self._configuration], stdout=log, stderr=log)
        wait_until(self._listens, f"NATS listens, see {self._log}")

    def stop(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait(10)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Subscriber:
    """Stands where the bridge stands: a session that the broker keeps. Without one it drops what it acknowledges."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._subscribed = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="subscriber", clean_session=False)
        self._client.username_pw_set("bridge", "right")
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe([("sensors/#", 1), ("/#", 1)])
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda client, data, message: self.messages.append((message.topic, message.payload))
        self._client.connect("127.0.0.1", port, keepalive=10)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def readings(self) -> list[tuple[int, float, float]]:
        """Sensor, time and value of what has come, doubles too."""
        items = []
        for topic, payload in list(self.messages):
            content = json.loads(payload)
            sensor = int("".join(filter(str.isdigit, topic)))
            of = content if isinstance(content, list) else [content]
            items += [(sensor, float(item["timestamp"]), float(item["value"])) for item in of]
        return items


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop(signal.SIGKILL)


@pytest.fixture
def subscriber(broker: Broker) -> Iterator[Subscriber]:
    subscriber = Subscriber(broker.port)
    yield subscriber
    subscriber.close()


@pytest.fixture
def settings(broker: Broker, subscriber: Subscriber) -> Settings:
    """Where sensors reach the broker; somebody listens already."""
    return Settings(mqtt_port=broker.port, mqtt_username="sensor", mqtt_password="right")


class Background:
    """A simulation in a thread of its own."""

    def __init__(self, settings: Settings, plan: Plan, **options: Any) -> None:
        self.stop = threading.Event()
        self.progress: list[Progress] = []
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
    settings: Settings, subscriber: Subscriber, tmp_path: Path, qos: Any
) -> None:
    path = tmp_path / "ledger.jsonl"
    summary = simulate(settings, Plan(sensors=7, rate=100, count=1000, qos=qos), ledger=path)
    wait_until(lambda: len(subscriber.messages) >= 1000, "all messages")
    assert summary.sent == summary.messages == 1000
    assert summary.acknowledged == (1000 if qos else 0)
    assert (summary.failed, summary.unsent, summary.interrupted) == (0, 0, False)
    arrived = subscriber.readings()
    assert len(arrived) == len(set(arrived)) == 1000
    assert set(arrived) == entries(path, "sent")
    assert entries(path, "acked") == (set(arrived) if qos else set())


def test_readings_come_at_their_rate_and_carry_the_time_at_which_they_fell_due(
    settings: Settings, subscriber: Subscriber
) -> None:
    began = time.time()
    summary = simulate(settings, Plan(sensors=4, rate=25, duration_s=2))
    assert summary.sent == 200
    assert 1.9 < summary.seconds < 3
    wait_until(lambda: len(subscriber.messages) == 200, "all messages")
    times = sorted(timestamp for _, timestamp, _ in subscriber.readings())
    assert began < times[0]
    assert times[-1] - times[0] == pytest.approx(1.99, abs=0.01)


def test_faults_in_the_data_are_counted_and_arrive(settings: Settings, subscriber: Subscriber, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    faults = Faults(drop=0.1, duplicate=0.2, late=0.2)
    summary = simulate(settings, Plan(sensors=3, rate=500, count=1000, faults=faults), ledger=path)
    assert summary.sent == 1000 - summary.dropped
    assert summary.messages == summary.sent + summary.duplicated
    wait_until(lambda: len(subscriber.messages) == summary.messages, "all messages")
    arrived = subscriber.readings()
    assert set(arrived) == entries(path, "acked")
    assert sorted(Counter(Counter(arrived).values()).items()) == [
        (1, summary.sent - summary.duplicated),
        (2, summary.duplicated),
    ]
    assert summary.late > 100
    for sensor in (1, 2, 3):
        times = [timestamp for of, timestamp, _ in arrived if of == sensor]
        assert times != sorted(times)


def test_corrupt_messages_arrive_byte_for_byte_and_stay_out_of_the_ledger(
    settings: Settings, subscriber: Subscriber, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.jsonl"
    summary = simulate(settings, Plan(sensors=3, rate=500, count=300, faults=Faults(corrupt=1)), ledger=path)
    assert (summary.sent, summary.corrupted, summary.messages) == (0, 300, 300)
    wait_until(lambda: len(subscriber.messages) == 300, "all messages")
    assert len({payload for _, payload in subscriber.messages}) > 30
    assert path.read_bytes() == b""


def test_batches_and_the_originals_topics(settings: Settings, subscriber: Subscriber, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    plan = Plan(sensors=3, rate=500, count=100, batch=8, topics="original", kind="int")
    summary = simulate(settings, plan, ledger=path)
    assert (summary.sent, summary.messages) == (100, 15)
    wait_until(lambda: len(subscriber.messages) == 15, "all messages")
    assert {topic for topic, _ in subscriber.messages} == {"/sensor1/temp", "/sensor2/temp", "/sensor3/temp"}
    assert set(subscriber.readings()) == entries(path, "acked")


def test_ten_thousand_sensors_over_four_connections(settings: Settings, subscriber: Subscriber) -> None:
    summary = simulate(settings, Plan(sensors=10_000, rate=0.5, duration_s=2))
    assert summary.sent == summary.acknowledged == 10_000
    wait_until(lambda: len(subscriber.messages) == 10_000, "all messages")
    assert len({topic for topic, _ in subscriber.messages}) == 10_000


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_goes_on_when_the_broker_was_away(
    broker: Broker, settings: Settings, subscriber: Subscriber, tmp_path: Path, how: signal.Signals
) -> None:
    path = tmp_path / "ledger.jsonl"
    run = Background(settings, Plan(sensors=5, rate=100, duration_s=5), ledger=path)
    wait_until(lambda: run.sent() > 500, "readings before the outage")
    broker.stop(how)
    wait_until(lambda: not run.progress[-1].connected, "the outage is noticed")
    time.sleep(1)
    broker.start()
    summary = run.summary()
    assert summary.sent == summary.acknowledged == 2500
    assert (summary.failed, summary.unsent) == (0, 0)
    acked = entries(path, "acked")
    wait_until(lambda: set(subscriber.readings()) >= acked, "all that was acknowledged", 30)
    assert set(subscriber.readings()) == acked == entries(path, "sent")


def test_readings_fail_when_the_broker_stays_away(broker: Broker, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    run = Background(settings, Plan(sensors=100, rate=100, duration_s=2, flush_s=1), ledger=path)
    wait_until(lambda: run.sent() > 1000, "readings before the outage")
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
    wait_until(lambda: run.sent() > 300, "some readings")
    run.stop.set()
    summary = run.summary(5)
    assert summary.interrupted
    assert summary.sent == summary.acknowledged > 300
    assert (summary.failed, summary.unsent) == (0, 0)


def test_kill_9_loses_no_line_of_what_was_acknowledged(
    settings: Settings, subscriber: Subscriber, tmp_path: Path
) -> None:
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
        before = len(subscriber.messages)
        child = subprocess.Popen([sys.executable, "-c", program, str(settings.mqtt_port), str(path)])
        wait_until(lambda before=before: len(subscriber.messages) > before + 1000, "readings")
        child.kill()
        child.wait(10)
    sent, acked = entries(path, "sent"), entries(path, "acked")
    assert len({(sensor, timestamp) for sensor, timestamp, _ in sent}) == len(sent)
    assert acked <= sent
    wait_until(lambda: set(subscriber.readings()) >= acked, "all that was acknowledged")
    assert set(subscriber.readings()) <= sent


def test_a_wrong_password_is_told(settings: Settings) -> None:
    wrong = settings.model_copy(update={"mqtt_password": "wrong"})
    with pytest.raises(ServiceFailed, match="refuses sensor") as refused:
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
    with pytest.raises(UsageError, match="too much for one message") as refused:
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
    wait_until(lambda: path.exists() and len(entries(path, "acked")) > 100, "some readings")
    child.send_signal(number)
    out, err = child.communicate(timeout=20)
    assert child.returncode == code, err
    summary = json.loads(out)
    assert (summary["schema"], summary["interrupted"], summary["failed"]) == ("bdemo.simulate/1", True, 0)
    assert summary["acknowledged"] == len(entries(path, "acked")) == len(entries(path, "sent"))
    assert b"Traceback" not in err
