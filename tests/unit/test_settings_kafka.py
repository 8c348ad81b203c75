"""How clients prove to Kafka who they are: settings that contradict each other are refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend_demo.adapters.kafka import Brokers, faust_credentials
from backend_demo.errors import ConfigurationInvalid
from backend_demo.settings import Settings, load
from backend_demo.stack import ports
from backend_demo.stack.state.record import StackRecord

USER = {"kafka_username": "me", "kafka_password": "geheim"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kafka_username": "me"}, "kafka_security_protocol PLAINTEXT does not use it"),
        ({"kafka_password": "geheim"}, "kafka_security_protocol PLAINTEXT does not use it"),
        ({"kafka_security_protocol": "SSL", **USER}, "kafka_security_protocol SSL does not use it"),
        ({"kafka_ca_file": Path("ca.pem")}, "--kafka-ca-file: kafka_security_protocol PLAINTEXT does not use it"),
        (
            {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_ca_file": Path("ca.pem"), **USER},
            "kafka_security_protocol SASL_PLAINTEXT does not use it",
        ),
        ({"kafka_security_protocol": "SASL_SSL"}, "SASL_SSL needs kafka_username, which is not set"),
        (
            {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_username": "me"},
            "SASL_PLAINTEXT needs kafka_password, which is not set",
        ),
        ({"kafka_security_protocol": "SSL", "kafka_client_cert": Path("c.pem")}, "kafka_client_key is not set"),
        ({"kafka_security_protocol": "SSL", "kafka_client_key": Path("c.pem")}, "kafka_client_cert is not set"),
        ({"kafka_security_protocol": "TLS"}, "kafka-security-protocol: "),
        ({"kafka_sasl_mechanism": "GSSAPI"}, "kafka-sasl-mechanism: "),
    ],
)
def test_a_contradiction_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationInvalid) as raised:
        load(**given)
    assert said in raised.value.message
    assert raised.value.hint
    assert "geheim" not in f"{raised.value.message}{raised.value.hint}"
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("name", ["kafka_ca_file", "kafka_client_cert and kafka_client_key"])
def test_a_file_that_holds_no_certificate_is_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    file.touch(mode=0o600)
    file.write_text("nothing")
    files = {"ca_file": file} if name == "kafka_ca_file" else {"client_cert": file, "client_key": file}
    with pytest.raises(ConfigurationInvalid) as raised:
        Brokers("127.0.0.1:1", "SSL", **files).connection()
    assert str(file) in raised.value.message
    assert name in f"{raised.value.message}{raised.value.hint}"


def test_faust_and_aiokafka_get_the_same() -> None:
    brokers = Brokers.of(load(kafka_security_protocol="SASL_PLAINTEXT", kafka_sasl_mechanism="PLAIN", **USER))
    options, credentials = brokers.connection(), faust_credentials(brokers)
    assert (options["security_protocol"], options["sasl_mechanism"]) == ("SASL_PLAINTEXT", "PLAIN")
    assert (credentials.protocol.value, credentials.mechanism.value) == ("SASL_PLAINTEXT", "PLAIN")
    assert (credentials.username, credentials.password) == ("me", "geheim")
    assert options["ssl_context"] is credentials.ssl_context is None
    encrypted = Brokers("127.0.0.1:1", "SSL")
    assert faust_credentials(encrypted).protocol.value == "SSL"
    assert faust_credentials(Brokers("127.0.0.1:1")) is None


def test_the_password_is_not_shown_or_recorded(tmp_path: Path) -> None:
    settings = load(kafka_security_protocol="SASL_PLAINTEXT", state_dir=tmp_path, **USER)
    assert "geheim" not in f"{settings!r}{Brokers.of(settings)!r}"
    StackRecord(tmp_path / "stack.json").save(settings)
    assert "geheim" not in (tmp_path / "stack.json").read_text()


def test_a_stack_s_own_kafka_is_reached_as_it_is() -> None:
    settings = ports.shifted(Settings(kafka_security_protocol="SSL", kafka_ca_file=Path("ca.pem")))
    assert Brokers.of(settings) == Brokers(settings.kafka_bootstrap)
