"""The TLS of a server takes a renewed certificate, and keeps the one that it has when the new one is no good."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from backend_demo.adapters.network import ServerContext, server_context, take_renewed
from backend_demo.errors import ConfigurationInvalid
from tests.support.certificates import Authority


def served(context: ServerContext, authority: Authority) -> int:
    """The serial number of the certificate that a new connection gets."""
    server_side, client_side = socket.socketpair()

    def serve() -> None:
        with server_side, contextlib.suppress(OSError):
            context.wrap_socket(server_side, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    trusting = ssl.create_default_context(cafile=str(authority.file))
    try:
        with client_side, trusting.wrap_socket(client_side, server_hostname="localhost") as secure:
            found = secure.getpeercert()
            assert found is not None
            return int(str(found["serialNumber"]), 16)
    finally:
        thread.join()


def look(context: ServerContext) -> bool:
    """Two looks: what has changed is taken when it has stayed the same for one."""
    return context.renewed() or context.renewed()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def context(authority: Authority) -> ServerContext:
    return server_context(*authority.sign("server", "localhost"), names="tls_cert and tls_key")


def test_a_renewed_certificate_is_taken_once(context: ServerContext, authority: Authority) -> None:
    first = served(context, authority)
    assert not look(context)
    authority.sign("server", "localhost")
    assert look(context)
    assert not look(context)
    assert served(context, authority) != first


def test_half_of_a_renewal_waits_for_the_other_half(context: ServerContext, authority: Authority) -> None:
    first = served(context, authority)
    certificate, key = authority.sign("next", "localhost")
    old_certificate, old_key = context.files
    key.replace(old_key)
    assert not context.renewed()
    certificate.replace(old_certificate)
    assert look(context)
    assert served(context, authority) != first


def test_what_does_not_match_or_is_missing_is_not_taken(context: ServerContext, authority: Authority) -> None:
    first = served(context, authority)
    certificate, key = context.files
    _, foreign = authority.sign("other", "localhost")
    foreign.replace(key)
    with pytest.raises(ConfigurationInvalid, match="cannot use"):
        look(context)
    assert not look(context), "it is said once"
    assert served(context, authority) == first
    certificate.unlink()
    assert not look(context)
    assert served(context, authority) == first


def test_it_is_logged(context: ServerContext, authority: Authority) -> None:
    with capture_logs() as logged:
        authority.sign("server", "localhost")
        for _ in range(3):
            take_renewed((context, None))
        context.files[1].write_text("broken")
        os.utime(context.files[1], (1, 1))
        for _ in range(3):
            take_renewed((context, None))
    assert [each["event"] for each in logged] == ["certificate renewed", "renewed certificate cannot be used"]
    assert "tls_cert and tls_key" in logged[1]["hint"]


def test_a_key_that_others_may_read_is_refused(authority: Authority) -> None:
    certificate, key = authority.sign("read", "localhost")
    key.chmod(0o644)
    with pytest.raises(ConfigurationInvalid, match="which holds secrets"):
        server_context(certificate, key, names="tls_cert and tls_key")
