"""The certificates of a stack that is open to the network: made once, again when they no longer fit, good for TLS."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest

from backend_demo.stack.state import certificates
from backend_demo.stack.state.certificates import RENEW_DAYS, SERVER_DAYS, CertificateFiles


def texts(files: CertificateFiles) -> tuple[bytes, bytes, bytes]:
    return files.authority.read_bytes(), files.certificate.read_bytes(), files.key.read_bytes()


def handshake(files: CertificateFiles, name: str) -> None:
    """One TLS connection, whose client trusts the authority only and expects this name."""
    server_side, client_side = socket.socketpair()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)

    def serve() -> None:
        with server_side, contextlib.suppress(OSError):  # a client may refuse the certificate
            server.wrap_socket(server_side, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    client = ssl.create_default_context(cafile=str(files.authority))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        with client_side:
            client.wrap_socket(client_side, server_hostname=name).close()
    finally:
        thread.join()


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "sensors.example"])
def test_clients_that_trust_the_authority_accept_the_server(tmp_path: Path, address: str) -> None:
    files = certificates.make(tmp_path / "tls", address)
    handshake(files, address)
    handshake(files, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(files, "192.0.2.8")


def test_what_is_good_stays(tmp_path: Path) -> None:
    before = texts(certificates.make(tmp_path, "192.0.2.7"))
    assert texts(certificates.make(tmp_path, "192.0.2.7")) == before


def test_another_address_or_a_near_end_makes_a_new_one_of_the_same_authority(tmp_path: Path) -> None:
    authority, first, _ = texts(certificates.make(tmp_path, "192.0.2.7"))
    same_authority, second, _ = texts(certificates.make(tmp_path, "192.0.2.8"))
    late = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=SERVER_DAYS - RENEW_DAYS, minutes=1)
    still_same, third, _ = texts(certificates.make(tmp_path, "192.0.2.8", now=late))
    assert authority == same_authority == still_same
    assert len({first, second, third}) == 3


def test_two_thirds_of_its_life_it_stays(tmp_path: Path) -> None:
    before = texts(certificates.make(tmp_path, "192.0.2.7"))
    late = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=60, minutes=-1)
    assert texts(certificates.make(tmp_path, "192.0.2.7", now=late)) == before
    assert (SERVER_DAYS, RENEW_DAYS) == (90, 30)


def refusal(files: CertificateFiles, name: str) -> str:
    """Why a client does not accept the server."""
    with pytest.raises(ssl.SSLCertVerificationError) as raised:
        handshake(files, name)
    return raised.value.verify_message


def test_clients_refuse_an_expired_certificate_another_name_and_another_authority(tmp_path: Path) -> None:
    good = certificates.make(tmp_path / "one", "192.0.2.7")
    assert "not valid for '192.0.2.8'" in refusal(good, "192.0.2.8")
    other = certificates.make(tmp_path / "two", "192.0.2.7")
    mixed = CertificateFiles(other.authority, good.certificate, good.key)
    assert refusal(mixed, "192.0.2.7") in ("unable to get local issuer certificate", "certificate signature failure")
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=SERVER_DAYS, minutes=1)
    old = certificates.make(tmp_path / "old", "192.0.2.7", now=past)
    assert refusal(old, "192.0.2.7") == "certificate has expired"
    assert certificates.expiry(old.certificate) < datetime.datetime.now(datetime.UTC)
    handshake(certificates.make(tmp_path / "old", "192.0.2.7"), "192.0.2.7")


@pytest.mark.parametrize("address", ["192.0.2.7", "127.0.0.1", "localhost"])
def test_this_machine_s_own_names_are_in_it(tmp_path: Path, address: str) -> None:
    files = certificates.make(tmp_path, address)
    for name in (address, "localhost", "127.0.0.1", "::1"):
        handshake(files, name)


def test_a_broken_file_is_replaced(tmp_path: Path) -> None:
    files = certificates.make(tmp_path, "192.0.2.7")
    files.certificate.write_text("broken")
    handshake(certificates.make(tmp_path, "192.0.2.7"), "192.0.2.7")


def test_only_the_owner_reads_them(tmp_path: Path) -> None:
    certificates.make(tmp_path / "tls", "192.0.2.7")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()} == {0o600}
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700
