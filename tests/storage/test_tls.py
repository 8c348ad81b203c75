"""PostgreSQL with TLS: every way to it takes the same DSN, and says in one line why it cannot connect."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend_demo.adapters import postgres
from backend_demo.adapters.postgres import PostgresRefusal
from backend_demo.errors import ServiceFailed
from backend_demo.stack.state import certificates
from backend_demo.storage.migrate import upgrade
from backend_demo.storage.session import Session
from tests.support.postgres import PostgresServer, migrated

#: The server is asked for TLS in the place of its first message.
SSL_REQUEST = struct.pack(">ii", 8, 80877103)

QUERY = "select current_setting('application_name') || ' ' || current_setting('work_mem')"


class TlsGate:
    """Speaks TLS for a PostgreSQL that was built without it, as PostgreSQL does: to clients that ask for it."""

    def __init__(self, server: PostgresServer, context: ssl.SSLContext) -> None:
        self.encrypted: list[bool] = []
        """Of each connection that went on to the server."""
        self._server, self._context = server, context
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self.port = listening.result(10).sockets[0].getsockname()[1]

    def dsn(self, user: str) -> str:
        return self._server.dsn(user).replace(f":{self._server.port}/", f":{self.port}/")

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            first = await reader.readexactly(8)
            if encrypted := first == SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(self._context)
                first = b""
            behind_reader, behind = await asyncio.open_connection("127.0.0.1", self._server.port)
            behind.write(first)
            self.encrypted.append(encrypted)
            await asyncio.gather(_forward(reader, behind), _forward(behind_reader, writer))


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with migrated(tmp_path_factory.mktemp("plain")) as found:
        yield found


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> certificates.CertificateFiles:
    # for localhost and 127.0.0.1, too
    return certificates.make(tmp_path_factory.mktemp("tls") / "tls", "db.example")


@pytest.fixture(scope="module")
def server(plain: PostgresServer, authority: certificates.CertificateFiles) -> Iterator[TlsGate]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.certificate, authority.key)
    gate = TlsGate(plain, context)
    try:
        yield gate
    finally:
        gate.close()


async def by_connect(dsn: str) -> Any:
    connection = await postgres.connect(dsn)
    try:
        return await connection.fetchval(QUERY)
    finally:
        await connection.close()


async def by_pool(dsn: str) -> Any:
    async def leave(connection: Any) -> None:
        """Keeps it as it is."""

    async with postgres.pool(dsn, application="", size=1, command_timeout_s=10, settings={}, reset=leave) as pool:
        return await pool.fetchval(QUERY)


async def by_session(dsn: str) -> Any:
    session = Session(dsn)
    try:
        return await asyncio.wait_for(session.run(lambda one: one.fetchval(QUERY)), 30)
    finally:
        session.close()


WAYS: dict[str, Callable[[str], Any]] = {"connect": by_connect, "pool": by_pool, "session": by_session}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("query", "encrypted", "answer"),
    [
        ("", True, " 4MB"),
        ("sslmode=disable", False, " 4MB"),
        ("sslmode=require&channel_binding=prefer&connect_timeout=10&application_name=mine", True, "mine 4MB"),
        ("sslmode=verify-ca&sslrootcert={ca}", True, " 4MB"),
        ("sslmode=verify-full&sslrootcert={ca}&target_session_attrs=any&options=-c%20work_mem%3D8MB", True, " 8MB"),
    ],
)
def test_each_way_takes_the_options_of_libpq(
    server: TlsGate, authority: certificates.CertificateFiles, way: str, query: str, encrypted: bool, answer: str
) -> None:
    dsn = f"{server.dsn('bdemo')}?{query.format(ca=authority.authority)}"
    assert asyncio.run(WAYS[way](dsn)) == answer
    assert server.encrypted[-1] is encrypted


def test_so_do_migrations(server: TlsGate, authority: certificates.CertificateFiles) -> None:
    upgrade(f"{server.dsn('bdemo')}?sslmode=verify-full&sslrootcert={authority.authority}&connect_timeout=10")


def wrong(server: TlsGate, plain: PostgresServer, ca: Path, other: Path) -> dict[str, str]:
    """What each refusal says, and the DSN that gets it."""
    dsn = server.dsn("bdemo")
    # another way to write 127.0.0.1, as a name
    elsewhere = dsn.replace("@127.0.0.1:", "@127.1:")
    return {
        "unable to get local issuer certificate": f"{dsn}?sslmode=verify-ca&sslrootcert={other}",
        "Hostname mismatch": f"{elsewhere}?sslmode=verify-full&sslrootcert={ca}",
        "No such file": f"{dsn}?sslmode=verify-full&sslrootcert=/nonexistent.pem",
        "does not use TLS": f"{plain.dsn('bdemo')}?sslmode=require",
        "target_session_attrs": f"{dsn}?target_session_attrs=best",
    }


@pytest.mark.parametrize(
    "said",
    ["unable to get local issuer certificate", "Hostname mismatch", "No such file", "does not use TLS",
     "target_session_attrs"],
)  # fmt: skip
def test_a_refusal_is_one_line_at_once(
    server: TlsGate,
    plain: PostgresServer,
    authority: certificates.CertificateFiles,
    tmp_path: Path,
    said: str,
) -> None:
    other = certificates.make(tmp_path / "other", "db.example").authority
    dsn = wrong(server, plain, authority.authority, other)[said]
    for way in WAYS.values():
        with pytest.raises(PostgresRefusal, match=said) as raised:
            asyncio.run(way(dsn))
        assert "\n" not in str(raised.value)
        assert not postgres.is_transient(raised.value)
    with pytest.raises(ServiceFailed, match=said):
        upgrade(dsn)


@pytest.mark.parametrize(("answer", "more"), [(b"", None), (b"S", None), (b"S", b""), (b"S", b"\x16\x03\x03")])
def test_a_server_that_is_cut_off_is_away_and_not_refused(answer: bytes, more: bytes | None) -> None:
    """As one that restarts: whoever waits for it goes on waiting."""

    async def attempt() -> BaseException:
        async def cut_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(8)
            writer.write(answer)
            if more is not None:  # within the handshake
                await reader.read(1)
                writer.write(more)
            writer.close()

        async with await asyncio.start_server(cut_off, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(postgres.FAILURES) as raised:
                await postgres.connect(f"postgresql://bdemo:x@127.0.0.1:{port}/temperature?sslmode=require")
            return raised.value

    assert postgres.is_transient(asyncio.run(attempt()))
