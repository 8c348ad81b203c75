"""Packets that hypothesis makes up, and bytes that are none, on real sockets: the process lives and stays small."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend_demo.mqtt.codec.encoder import encode
from backend_demo.mqtt.codec.packets import Connect, Packet
from tests.support.mqtt_client import Closed
from tests.support.mqtt_packets import connects, packets
from tests.support.proxy import Login, ProxyProcess
from tests.support.wait import eventually

#: What a connection sends: each example is one connection.
EXAMPLES = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


def send(login: Login, level: int, data: bytes) -> None:
    """Sends all of it, whatever comes back, and closes."""
    with login.raw() as client:
        client.speak(level)
        try:
            client.send_raw(data)
            client.until_closed(0.02)
        except (OSError, Closed):
            pass
        except Exception as problem:
            raise AssertionError(f"the proxy sent what is no MQTT after {data!r}") from problem


@pytest.fixture(autouse=True)
def lives(small: ProxyProcess, small_login: Login) -> Any:
    """Afterwards every connection is closed, nothing was logged as a failure, and clients are served."""
    yield
    eventually(lambda: small.metric("bdemo_mqtt_connections") == 0, "every connection is closed", 20)
    with small_login.client(5) as client:
        client.ping()
    assert "Traceback" not in small.said()
    assert small.rss_mb() < 300


@pytest.mark.parametrize("level", [3, 4, 5])
def test_packets_before_and_behind_connect(small_login: Login, level: int) -> None:
    login = Connect(level, "fuzz", username=small_login.username, password=small_login.password.encode())

    any_packet = st.one_of(packets(level, to_broker=True), packets(level, to_broker=False), connects(level))

    @EXAMPLES
    @given(st.lists(any_packet, max_size=6), st.booleans())
    def run(found: list[Packet], log_in: bool) -> None:
        first = [login] if log_in else []
        send(small_login, level, b"".join(encode(each, level) for each in (*first, *found)))

    run()


@pytest.mark.parametrize("level", [3, 4, 5])
def test_damaged_packets(small_login: Login, level: int) -> None:
    login = encode(Connect(level, "fuzz", username=small_login.username, password=small_login.password.encode()), level)

    @EXAMPLES
    @given(packets(level, to_broker=True), st.data())
    def run(packet: Packet, data: st.DataObject) -> None:
        damaged = bytearray(encode(packet, level))
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        send(small_login, level, login + bytes(damaged))

    run()


def test_random_bytes(small_login: Login) -> None:
    login = encode(Connect(5, "fuzz", username=small_login.username, password=small_login.password.encode()), 5)
    generator = random.Random(15)
    for number in range(100):
        noise = generator.randbytes(generator.choice([1, 2, 5, 100, 70_000]))
        send(small_login, 5, noise if number % 2 else login + noise)
