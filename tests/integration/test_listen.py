"""The suite's stack is open at `listen`: with TLS and credentials, and for nothing else."""

from __future__ import annotations

import json
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from backend_demo.settings import Settings
from backend_demo.stack.embedded.programs import RENEWAL
from backend_demo.stack.embedded.supervisor import Supervisor
from backend_demo.stack.state import certificates
from backend_demo.stack.state.directory import StateDirectory
from tests.support.wait import eventually


@pytest.fixture
def trusting(state: StateDirectory) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(state.tls / "ca.pem"))


def publish(settings: Settings, trusting: ssl.SSLContext, sensor: int, password: str) -> bool:
    """Whether a reading that is published over TLS is acknowledged."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.tls_set_context(trusting)
    client.username_pw_set("sensor", password)
    client.connect(settings.listen, settings.mqtt_tls_port)
    client.loop_start()
    try:
        payload = f'{{"value": 21.5, "timestamp": {time.time()}}}'
        sent = client.publish(f"sensors/{sensor}/temperature", payload, qos=1)
        sent.wait_for_publish(10)
        return sent.is_published()
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_reading_goes_in_and_comes_out_with_tls(
    settings: Settings, state: StateDirectory, trusting: ssl.SSLContext, sensor: int
) -> None:
    assert publish(settings, trusting, sensor, settings.mqtt_password)
    token = {"Authorization": f"Bearer {state.secrets.of('network_token')}"}
    url = f"https://{settings.listen}:{settings.gateway_tls_port}"
    with httpx.Client(verify=trusting, base_url=url, trust_env=False) as client:
        eventually(
            lambda: client.get("/v1/latest", params={"sensor": sensor}, headers=token).text.count("21.5") > 0,
            "that the reading is served",
        )
        assert client.get("/v1/sensors").status_code == 401
        assert client.get("/v1/sensors", headers={"Authorization": f"Bearer {'x' * 32}"}).status_code == 401


def test_without_tls_or_trust_nobody_gets_in(settings: Settings) -> None:
    address = f"{settings.listen}:{settings.gateway_tls_port}"
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{address}/healthz", trust_env=False)
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://{address}/healthz", trust_env=False)
    plain = paho.Client(CallbackAPIVersion.VERSION2)
    plain.username_pw_set("sensor", settings.mqtt_password)
    plain.connect(settings.listen, settings.mqtt_tls_port)
    eventually(lambda: plain.loop(0.1) != paho.MQTT_ERR_SUCCESS, "that the connection is closed")


def test_a_wrong_password_is_refused(settings: Settings, trusting: ssl.SSLContext, sensor: int) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.tls_set_context(trusting)
    client.username_pw_set("sensor", "wrong")
    refused: list[str] = []
    client.on_connect = lambda client, data, flags, reason, properties: refused.append(str(reason))
    client.connect(settings.listen, settings.mqtt_tls_port)
    eventually(lambda: client.loop(0.1) is not None and refused, "an answer")
    assert refused == ["Bad user name or password"]
    client.disconnect()


def test_the_stack_says_how_long_its_certificate_is_good_and_renews_it(bdemo: Any, state: StateDirectory) -> None:
    found = json.loads(bdemo("status", "-o", "json").stdout)
    expires = datetime.fromisoformat(found["network"]["certificate_expires"])
    assert expires == certificates.expiry(state.tls / "server.pem")
    assert timedelta(days=89) < expires - datetime.now(UTC) <= timedelta(days=90)
    assert "the certificate is good until" in bdemo("status").stdout
    assert Supervisor(state).processes()[RENEWAL].pid is not None
    assert RENEWAL not in {service["name"] for service in found["services"]}
