"""What can be said of MQTT without a broker: client ids, and the errors for a broker that is no help."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend_demo.adapters.mqtt import Broker, make_client, session_id, unique_id
from backend_demo.adapters.mqtt_failures import refused, unreachable
from backend_demo.errors import ConfigurationInvalid
from backend_demo.settings import Settings, load


def test_the_broker_of_the_settings() -> None:
    settings = Settings(mqtt_host="broker", mqtt_port=1884, mqtt_username="me", mqtt_password="secret")
    broker = Broker.of(settings)
    assert (broker.address[:2], str(broker)) == (("broker", 1884), "broker:1884")
    assert make_client(broker, "x").username == "me"


def test_without_a_user_name_a_client_has_no_credentials() -> None:
    assert make_client(Broker("broker", 1883), "x").username is None


def test_client_ids_differ() -> None:
    assert len({unique_id("test") for _ in range(1000)}) == 1000


def test_a_refusal_names_the_broker_the_user_and_the_reason() -> None:
    assert refused(Broker("h", 1, "me"), "Not authorized").message == (
        "the MQTT broker at h:1 refuses user 'me': not authorized"
    )
    assert refused(Broker("h", 1), "Not authorized").message == (
        "the MQTT broker at h:1 refuses a client without a user name: not authorized"
    )


def test_an_unreachable_broker_is_named_with_the_system_s_reason() -> None:
    problem = ConnectionRefusedError(111, "Connection refused")
    assert unreachable(Broker("h", 1), problem).message == "cannot reach an MQTT broker at h:1: connection refused"
    assert unreachable(Broker("h", 1), TimeoutError("timed out")).message.endswith(": timed out")


def test_the_id_of_a_session_stays_and_cannot_be_guessed(tmp_path: Path) -> None:
    with_password = [session_id(Broker("h", 1, "me", "secret"), "bridge", tmp_path) for _ in range(2)]
    without = [session_id(Broker("h", 1), "bridge", tmp_path) for _ in range(2)]
    elsewhere = session_id(Broker("h", 1), "bridge", tmp_path / "other")
    assert with_password[0] == with_password[1]
    assert without[0] == without[1]
    assert len({with_password[0], without[0], elsewhere, session_id(Broker("h", 1, "", "x"), "bridge", tmp_path)}) == 4
    assert [path.stat().st_mode & 0o777 for path in tmp_path.glob("bridge-*")] == [0o600]


def test_a_missing_file_of_authorities_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid) as raised:
        make_client(Broker("h", 1, tls=True, ca_file=tmp_path / "none.pem"), "x")
    assert "none.pem: no such file" in raised.value.message.lower()


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.crt"
    with pytest.raises(ConfigurationInvalid, match=r"cannot use .*none\.crt with .*No such file") as raised:
        make_client(Broker("h", 1, tls=True, client_cert=missing, client_key=missing), "x")
    assert "mqtt_client_cert and mqtt_client_key" in raised.value.hint
    for half in ("client_cert", "client_key"):
        with pytest.raises(ConfigurationInvalid, match="one of mqtt_client_cert and mqtt_client_key is missing"):
            make_client(Broker("h", 1, tls=True, **{half: missing}), "x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("mqtts://h.example", "set BDEMO_MQTT_HOST=h.example BDEMO_MQTT_PORT=8883 BDEMO_MQTT_TLS=true"),
        ("mqtt://h.example:1884", "set BDEMO_MQTT_HOST=h.example BDEMO_MQTT_PORT=1884 BDEMO_MQTT_TLS=false"),
        ("h.example:1884", "set BDEMO_MQTT_HOST=h.example BDEMO_MQTT_PORT=1884"),
        ("https://h.example", "the scheme is mqtt or mqtts"),
    ],
)
def test_a_url_in_the_place_of_a_host_name_is_refused_with_the_settings_to_use(
    given: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BDEMO_MQTT_HOST", given)
    with pytest.raises(ConfigurationInvalid) as raised:
        load()
    assert raised.value.message.startswith("BDEMO_MQTT_HOST in the environment: ")
    assert told in raised.value.message


@pytest.mark.parametrize("host", ["h.example", "127.0.0.1", "::1"])
def test_a_host_name_or_an_address_is_taken(host: str) -> None:
    assert Settings(mqtt_host=host).mqtt_host == host


def test_a_file_is_the_same_one_wherever_a_service_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = Settings(mqtt_ca_file=Path("ca.pem"), mqtt_client_cert=Path("~/me.crt"))
    assert settings.mqtt_ca_file == tmp_path / "ca.pem"
    assert settings.mqtt_client_cert == tmp_path / "home" / "me.crt"
