"""mosquitto_pub and mosquitto_sub, in every version of MQTT."""

from __future__ import annotations

import shutil
import subprocess
import threading

import pytest

from tests.support.proxy import KafkaTopics, Login
from tests.support.wait import eventually

pytestmark = pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed")

VERSIONS = ["mqttv31", "mqttv311", "mqttv5"]


def words(login: Login, program: str, version: str, topic: str, *more: str) -> list[str]:
    address = ("-h", login.host, "-p", str(login.port), "-u", login.username, "-P", login.password)
    return [program, *address, "-V", version, "-t", topic, *more]


def run(command: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_lines_published(login: Login, topics: KafkaTopics, topic: str, version: str, qos: str) -> None:
    lines = [f"{number} °C" for number in range(100)]
    done = run(words(login, "mosquitto_pub", version, topic, "-q", qos, "-l"), "".join(f"{line}\n" for line in lines))
    assert (done.returncode, done.stderr) == (0, "")
    assert topics.payloads(topic) == [line.encode() for line in lines]


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_seen(login: Login, topic: str, version: str) -> None:
    program = subprocess.Popen(
        words(login, "mosquitto_sub", version, f"{topic}/#", "-q", "2", "-C", "3", "-W", "60", "-F", "%t %q %p"),
        stdout=subprocess.PIPE,
        text=True,
    )
    stop = threading.Event()

    def publish() -> None:
        with login.client() as client:  # from time to time, as it does not say when it has subscribed
            while not stop.wait(0.2):
                client.publish(f"{topic}/kitchen", "21")

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        said = program.communicate(timeout=60)[0]
    finally:
        stop.set()
        publisher.join(30)
    assert (program.returncode, said) == (0, f"{topic}/kitchen 1 21\n" * 3)


def test_what_it_says_when_it_is_refused(login: Login, topic: str) -> None:
    wrong = Login(login.host, login.port, login.username, "wrong")
    assert (
        "bad user name or password" in run(words(wrong, "mosquitto_pub", "mqttv311", topic, "-m", "1")).stderr.lower()
    )
    outside = run(words(login, "mosquitto_pub", "mqttv5", "elsewhere", "-q", "1", "-m", "1"))
    assert "topic name invalid" in outside.stderr.lower()


def test_its_will(login: Login, topics: KafkaTopics, topic: str) -> None:
    gone = f"{topic}/gone"
    command = words(login, "mosquitto_sub", "mqttv5", topic, "-d", "--will-topic", gone, "--will-payload", "off")
    program = subprocess.Popen(["stdbuf", "-oL", *command], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    for line in program.stdout:
        if "SUBACK" in line:
            break
    program.kill()
    program.communicate()
    eventually(lambda: topics.payloads(gone) == [b"off"], "its will is published")
