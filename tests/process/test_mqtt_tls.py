"""MQTT with TLS at a real mosquitto: readings pass; what is wrong is said in a line, with the setting to change."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from backend_demo.adapters.mqtt import Broker
from backend_demo.adapters.mqtt_failures import unusable
from backend_demo.cli import options
from backend_demo.errors import ServiceFailed
from backend_demo.operations.tail.mqtt import tail
from backend_demo.operations.trace.mqtt import connected
from backend_demo.settings import Settings
from backend_demo.simulator.plan import Plan, Summary
from backend_demo.simulator.sensors import simulate
from backend_demo.stages.bridge import Subscriber
from backend_demo.stages.runtime.process import ServiceProcess
from tests.support.certificates import Authority
from tests.support.mosquitto import PROGRAM, Mosquitto
from tests.support.wait import eventually

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="mosquitto is not installed")

#: Time within which a command must have said what is wrong, seconds.
SOON_S = 8.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mosquitto")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder, "authority")


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Authority:
    return Authority(folder, "stranger")


@pytest.fixture(scope="module")
def broker(folder: Path, authority: Authority) -> Iterator[Mosquitto]:
    def serving(certificate: tuple[Path, Path], **more: object) -> dict[str, object]:
        return {"certfile": certificate[0], "keyfile": certificate[1], **more}

    good = authority.sign("good", "localhost", "127.0.0.1")
    running = Mosquitto(
        folder,
        plain={},
        tls=serving(good),
        expired=serving(authority.sign("expired", "127.0.0.1", days=1, begins_in_days=-2)),
        early=serving(authority.sign("early", "127.0.0.1", begins_in_days=2)),
        other_name=serving(authority.sign("other", "mqtt.example")),
        mutual=serving(good, cafile=authority.file, require_certificate="true"),
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture
def settings(broker: Mosquitto, authority: Authority, tmp_path: Path) -> Settings:
    """Those of a client that does everything right, at the port with TLS."""
    port = broker.ports["tls"]
    return Settings(mqtt_port=port, mqtt_tls=True, mqtt_ca_file=authority.file, state_dir=tmp_path / "state")


def attempts(settings: Settings) -> Iterator[ServiceFailed]:
    """What each kind of client says of a broker that it cannot use."""
    with pytest.raises(ServiceFailed) as raised:
        simulate(settings, Plan(sensors=1, rate=10.0, count=1))
    yield raised.value
    with contextlib.closing(tail(Broker.of(settings), ["#"], wanted=lambda _: True, notify=print)) as batches:
        with pytest.raises(ServiceFailed) as raised:
            next(batches)
        yield raised.value

    async def trace() -> None:
        async with connected(Broker.of(settings)):
            pass

    with pytest.raises(ServiceFailed) as raised:
        asyncio.run(trace())
    yield raised.value


# name of the port, changes of the settings, what the message says, what the hint names
WRONG: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "expired": ("expired", {}, "the certificate of the MQTT broker at {} has expired", "renew it"),
    "early": ("early", {}, "the certificate of the MQTT broker at {} is not valid yet", "clocks"),
    "another name": ("other_name", {}, "the certificate of the MQTT broker at {} is not for 127.0.0.1", "MQTT_HOST"),
    "the system's authorities": ("tls", {"mqtt_ca_file": None}, "{} is of no trusted authority", "MQTT_CA_FILE"),
    "plain on a TLS port": ("tls", {"mqtt_tls": False}, "what listens at {} speaks TLS only", "BDEMO_MQTT_TLS=true"),
    "plain on a port that wants certificates": ("mutual", {"mqtt_tls": False}, "{} speaks TLS only", "MQTT_TLS=true"),
    "TLS on a plain port": ("plain", {}, "what listens at {} does not speak TLS", "BDEMO_MQTT_TLS=false"),
    "no client certificate": ("mutual", {}, "at {} asks for a client certificate", "BDEMO_MQTT_CLIENT_CERT"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_the_setting(case: str, broker: Mosquitto, settings: Settings) -> None:
    listener, changes, message, hint = WRONG[case]
    wrong = settings.model_copy(update={"mqtt_port": broker.ports[listener], **changes})
    since = time.monotonic()
    for failure in attempts(wrong):
        assert message.format(f"127.0.0.1:{wrong.mqtt_port}") in failure.message
        assert hint in failure.hint
        assert time.monotonic() - since < SOON_S
        since = time.monotonic()


def test_a_foreign_authority_is_not_trusted(settings: Settings, stranger: Authority) -> None:
    for failure in attempts(settings.model_copy(update={"mqtt_ca_file": stranger.file})):
        assert "is of no trusted authority (unable to get local issuer certificate)" in failure.message
        assert f"not {stranger.file}" in failure.hint


def test_a_client_certificate_of_a_stranger_is_refused(
    broker: Mosquitto, settings: Settings, stranger: Authority
) -> None:
    certificate, key = stranger.sign("me")
    update = {"mqtt_port": broker.ports["mutual"], "mqtt_client_cert": certificate, "mqtt_client_key": key}
    for failure in attempts(settings.model_copy(update=update)):
        assert f"refuses the certificate {certificate}" in failure.message
        assert "BDEMO_MQTT_CLIENT_CERT" in failure.hint


@pytest.mark.parametrize(("listener", "own_certificate"), [("tls", False), ("mutual", True)])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_readings_pass_with_tls(
    listener: str, own_certificate: bool, qos: Any, broker: Mosquitto, settings: Settings, authority: Authority
) -> None:
    certificate, key = authority.sign("me") if own_certificate else (None, None)
    update = {"mqtt_port": broker.ports[listener], "mqtt_client_cert": certificate, "mqtt_client_key": key}
    used = settings.model_copy(update=update)
    with contextlib.closing(tail(Broker.of(used), ["#"], wanted=lambda _: True, notify=print)) as batches:
        assert next(batches) == []
        summary = simulate(used, Plan(sensors=50, rate=1000.0, count=2000, qos=qos))
        assert (summary.acknowledged if qos else summary.sent) == 2000
        assert sum(len(batch) for batch, _ in zip(batches, range(20), strict=False)) >= 1

    async def one() -> tuple[str, bytes, float]:
        async with connected(Broker.of(used), ["sensors/1/temperature"]) as connection:
            connection.publish("sensors/1/temperature", b"21")
            await connection.acknowledged()
            return await connection.message()

    assert asyncio.run(one())[:2] == ("sensors/1/temperature", b"21")


def test_a_broker_with_tls_1_2_says_in_the_handshake_that_it_wants_a_certificate(
    settings: Settings, authority: Authority, stranger: Authority
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*authority.sign("old", "127.0.0.1"))
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED

    def serve() -> None:
        for _ in range(2):
            with suppress(OSError), server.accept()[0] as connection:
                context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        without = settings.model_copy(update={"mqtt_port": server.getsockname()[1]})
        assert "asks for a client certificate" in unusable(Broker.of(without)).message
        certificate, key = stranger.sign("me")
        foreign = without.model_copy(update={"mqtt_client_cert": certificate, "mqtt_client_key": key})
        assert "refuses the certificate" in unusable(Broker.of(foreign)).message
        thread.join()


def test_an_address_with_a_scheme_chooses_tls(
    broker: Mosquitto, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BDEMO_MQTT_CA_FILE", str(settings.mqtt_ca_file))
    for address in (f"mqtts://localhost:{broker.ports['tls']}", f"mqtt://127.0.0.1:{broker.ports['plain']}"):
        assert simulate(options.own_broker(address), Plan(sensors=1, rate=10.0, count=1)).acknowledged == 1


def test_sensors_go_on_when_a_broker_with_tls_was_away(folder: Path, settings: Settings, authority: Authority) -> None:
    below = folder / "away"
    below.mkdir()
    certificate, key = authority.sign("away", "127.0.0.1")
    broker = Mosquitto(below, tls={"certfile": certificate, "keyfile": key})
    broker.start()
    used = settings.model_copy(update={"mqtt_port": broker.ports["tls"]})
    found: list[Summary] = []
    plan = Plan(sensors=5, rate=20.0, count=400, flush_s=30.0)
    sensors = threading.Thread(target=lambda: found.append(simulate(used, plan)))
    sensors.start()
    try:
        time.sleep(1)
        broker.stop()
        time.sleep(1)
        broker.start()
        sensors.join(60)
    finally:
        broker.stop()
    assert [(summary.acknowledged, summary.failed) for summary in found] == [(400, 0)]


def test_a_silent_port_is_no_broker(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for tls, message in ((False, "does not answer as an MQTT broker"), (True, "does not speak TLS")):
            since = time.monotonic()
            used = settings.model_copy(update={"mqtt_port": silent.getsockname()[1], "mqtt_tls": tls})
            assert message in unusable(Broker.of(used)).message
            assert time.monotonic() - since < SOON_S


def test_the_bridge_says_a_cause_once_and_when_the_broker_is_back(
    folder: Path, settings: Settings, authority: Authority
) -> None:
    """The broker's certificate has expired, is replaced, and the broker is away for a while."""
    below = folder / "bridge"
    below.mkdir()
    certificate, key = authority.sign("served", "127.0.0.1", days=1, begins_in_days=-2)
    broker = Mosquitto(below, tls={"certfile": certificate, "keyfile": key})
    broker.start()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    with capture_logs() as logged:
        port = broker.ports["tls"]
        subscriber = Subscriber(settings.model_copy(update={"mqtt_port": port}), ServiceProcess(), loop)
        subscriber.client.reconnect_delay_set(0.1, 0.1)  # type: ignore[arg-type]  # tests do not wait for a back-off
        subscriber.start()
        try:
            eventually(lambda: logged, "a cause")
            time.sleep(1)
            assert [each["reason"] for each in logged] == [
                f"the certificate of the MQTT broker at 127.0.0.1:{port} has expired"
            ]
            broker.stop()
            authority.sign("served", "127.0.0.1")
            broker.start()
            eventually(lambda: subscriber.subscribed, "the bridge subscribes")
            assert [each["event"] for each in logged][-2:] == ["MQTT broker is back", "ready"]
            before = len(logged)
            broker.stop()
            eventually(lambda: len(logged) > before, "a cause")
            time.sleep(1)
            broker.start()
            eventually(lambda: subscriber.subscribed, "the bridge subscribes again")
            events = [each["event"] for each in logged[before:]]
            assert events[-2:] == ["MQTT broker is back", "ready"]
            causes = [each["reason"] for each in logged[before:-2]]
            assert len(causes) == len(set(causes))
            assert not [each for each in logged if "nspecified" in str(each)]
        finally:
            subscriber.stop()
            broker.stop()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
