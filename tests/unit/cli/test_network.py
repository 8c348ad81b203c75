"""What `bdemo up --listen` refuses, and what it tells of a stack that is open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend_demo.cli import network
from backend_demo.cli.network import NetworkAccess
from backend_demo.errors import UsageError
from backend_demo.settings import Settings
from backend_demo.stack.state import certificates
from backend_demo.stack.state.directory import StateDirectory


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"listen": "0.0.0.0"}, "the certificate must name one address"),
        ({"listen": "::"}, "the certificate must name one address"),
        ({"listen": "192.0.2.7"}, "192.0.2.7 is not an address of this machine"),
        ({"listen": "127.0.0.1", "stack": "compose"}, "--listen and --tls cannot be combined with --stack compose"),
    ],
)
def test_where_a_stack_cannot_be_open(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        network.check(Settings(**more))


def test_an_address_of_this_machine_is_taken() -> None:
    network.check(Settings())
    network.check(Settings(listen="127.0.0.1"))


def test_what_a_device_needs(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.create(("network_token",))
    state.record.save(Settings(state_dir=tmp_path))
    assert network.access(state) is None
    own = state.tls / "server.pem"
    state.record.save(Settings(state_dir=tmp_path, listen="::1", tls_cert=own, tls_key=own, mqtt_tls_port=9000))
    found = network.access(state)
    assert found is not None
    assert (found.mqtt, found.gateway) == ("[::1]:9000", "https://[::1]:8443")
    told = "\n".join(network.lines(found))
    assert "mosquitto_pub -h ::1 -p 9000 --cafile ca.pem -u NAME" in told
    assert str(state.tls / "ca.pem") in told
    bought = tmp_path / "bought.pem"
    state.record.save(Settings(state_dir=tmp_path, listen="::1", tls_cert=bought, tls_key=bought))
    found = network.access(state)
    assert found is not None
    assert "ca" not in "\n".join(network.lines(found)).split()
    assert found.ca_file == ""


@pytest.mark.parametrize(
    ("left", "own", "line"),
    [
        (timedelta(days=89, hours=1), True, ", 89 d, and is renewed by itself"),
        (timedelta(days=89, hours=1), False, ", 89 d"),
        (timedelta(days=13, hours=1), True, ", 13 d: see: bdemo down, then bdemo up"),
        (timedelta(days=13, hours=1), False, ", 13 d: replace the files of BDEMO_TLS_CERT and BDEMO_TLS_KEY"),
        (timedelta(minutes=-1), True, ": see: bdemo down, then bdemo up"),
    ],
)
def test_how_long_the_certificate_is_good(left: timedelta, own: bool, line: str) -> None:
    expires = datetime.now(UTC) + left
    told = network.certificate_line(access(expires.isoformat(), "ca.pem" if own else ""))
    verb = "expired on" if left < timedelta() else "is good until"
    assert told == f"the certificate {verb} {expires.astimezone():%Y-%m-%d %H:%M %Z}{line}"


def test_a_certificate_that_cannot_be_read_is_told() -> None:
    assert "cannot be read" in network.certificate_line(access(None, "ca.pem"))


def test_the_expiry_is_that_of_the_file(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.create(("network_token",))
    made = certificates.make(state.tls, "127.0.0.1")
    found = Settings(state_dir=tmp_path, listen="127.0.0.1", tls_cert=made.certificate, tls_key=made.key)
    state.record.save(found)
    told = network.access(state)
    assert told is not None
    assert told.certificate_expires == certificates.expiry(made.certificate).isoformat()
    assert next(iter(network.lines(told))).startswith("Programs of this machine reach MQTT")
    assert any("is renewed by itself" in line for line in network.lines(told))
    state.record.save(found.model_copy(update={"tls_cert": tmp_path / "none.pem"}))
    missing = network.access(state)
    assert missing is not None
    assert missing.certificate_expires is None


def test_a_running_stack_keeps_the_address_with_which_it_was_started(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.create()
    state.record.save(Settings(state_dir=tmp_path))
    assert network.is_ignored(Settings(listen="127.0.0.1"), state)
    assert not network.is_ignored(Settings(), state)
    state.record.save(Settings(state_dir=tmp_path, listen="127.0.0.1"))
    assert not network.is_ignored(Settings(listen="127.0.0.1"), state)
    assert network.is_ignored(Settings(listen="127.0.0.2"), state)


def access(expires: str | None, ca_file: str) -> NetworkAccess:
    return NetworkAccess("h:1", "https://h:2", ca_file, expires, "secrets")
