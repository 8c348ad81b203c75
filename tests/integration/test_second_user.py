"""A second user of this machine, who knows no password of the stack, tries each way to it.

It is a fork of the test that has given up root: the interpreter itself may be where another user cannot read it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import struct
import tempfile
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest

from backend_demo.settings import Settings
from backend_demo.stack.state.directory import StateDirectory
from tests.support.leftovers import processes_of

#: Nobody's, in a Debian that nobody has changed.
STRANGER = 54_321

TEMPORARY = Path(tempfile.gettempdir())

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def as_stranger(act: Callable[[], Any]) -> Any:
    """What `act` returns, or the name of the exception that it raises, when a second user does it."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_become_stranger, args=(theirs, act))
    process.start()
    theirs.close()
    assert ours.poll(60), "the second user is still trying"
    found = ours.recv()
    process.join(10)
    return found


def _become_stranger(answer: Connection, act: Callable[[], Any]) -> None:
    os.setgroups([])
    os.setresgid(STRANGER, STRANGER, STRANGER)
    os.setresuid(STRANGER, STRANGER, STRANGER)
    try:
        answer.send(act())
    except (OSError, ValueError) as problem:
        traceback.print_exc()
        answer.send(type(problem).__name__)


@pytest.fixture(autouse=True)
def reachable(state: StateDirectory) -> Iterator[None]:
    """pytest's own folders, in which the stack's is, keep nobody out."""
    folders = [
        parent for parent in state.path.parents if parent.stat().st_uid == 0 and parent.is_relative_to(TEMPORARY)
    ]
    modes = {folder: folder.stat().st_mode for folder in folders if folder != TEMPORARY}
    for folder, mode in modes.items():
        folder.chmod(mode | 0o011)
    yield
    for folder, mode in modes.items():
        folder.chmod(mode)


@root_only
@pytest.mark.parametrize(
    "path",
    [
        *("secrets.json", "stack.json", "run/supervisor.sock", "run/handed-on.json", "kafka/server.properties"),
        *(
            "kafka/data/meta.properties",
            "kafka/data/bootstrap.checkpoint",
            "postgres/data/pg_hba.conf",
            "logs/kafka.log",
        ),
        *("mqtt/users.json", "tls/server.key", "tls/ca.key"),
    ],
)
def test_no_file_can_be_read_or_replaced(state: StateDirectory, path: str) -> None:
    file = state.path / path
    assert file.exists()
    assert as_stranger(lambda: state.path.stat().st_uid) == os.geteuid()
    assert as_stranger(lambda: file.read_bytes()[:1]) == "PermissionError"
    assert as_stranger(lambda: file.with_name("mine").write_text("mine")) == "PermissionError"


@root_only
def test_what_is_open_to_all_is_no_file_of_the_stack(state: StateDirectory) -> None:
    assert as_stranger(lambda: os.listdir(state.path)) == "PermissionError"


@root_only
@pytest.mark.parametrize("place", ["run/supervisor.sock", "run/postgres/.s.PGSQL.{port}"])
def test_no_socket_can_be_used(settings: Settings, state: StateDirectory, place: str) -> None:
    path = str(state.path / place.format(port=settings.postgres_port))
    assert Path(path).is_socket()

    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)

    assert as_stranger(connect) == "PermissionError"


@root_only
def test_no_process_can_be_ended_or_looked_into(settings: Settings) -> None:
    def attempts(pid: int) -> list[str]:
        found = []
        for act in (
            lambda: os.kill(pid, signal.SIGTERM),
            lambda: Path(f"/proc/{pid}/environ").read_bytes(),
            lambda: Path(f"/proc/{pid}/mem").read_bytes(),
        ):
            try:
                act()
                found.append("done")
            except PermissionError:
                found.append("refused")
        return found

    pids = [process.pid for process in processes_of(settings)]
    assert len(pids) > 8
    assert as_stranger(lambda: [attempts(pid) for pid in pids]) == [["refused"] * 3] * len(pids)


def ask(port: int, message: bytes, length: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(message)
        found = b""
        try:
            while len(found) < length and (piece := client.recv(length - len(found))):
                found += piece
        except ConnectionError:
            pass
        return found


def startup(user: str) -> bytes:
    """PostgreSQL's first message."""
    words = b"user\0" + user.encode() + b"\0database\0temperature\0\0"
    return struct.pack(">ii", 8 + len(words), 196608) + words


@root_only
@pytest.mark.parametrize("user", ["postgres", "bdemo", "bdemo_loader", "bdemo_reader", "nobody"])
def test_postgres_asks_for_a_password(settings: Settings, user: str) -> None:
    answer = as_stranger(lambda: ask(settings.postgres_port, startup(user), 9))
    assert (answer[:1], struct.unpack(">i", answer[5:9])) == (b"R", (10,))  # SASL, and not "you are in"


@root_only
@pytest.mark.parametrize("name", ["kafka_port", "kafka_controller_port"])
def test_kafka_reads_no_request(settings: Settings, name: str) -> None:
    metadata = struct.pack(">ihhihi", 14, 3, 1, 1, -1, 0)
    assert as_stranger(lambda: ask(getattr(settings, name), metadata, 1)) == b""


@root_only
def test_mqtt_refuses_who_has_no_password(settings: Settings) -> None:
    connect = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05thief"
    assert as_stranger(lambda: ask(settings.mqtt_port, connect, 4)) in (b"\x20\x02\x00\x05", b"\x20\x02\x00\x04")


@root_only
def test_the_gateways_open_port_gives_readings_and_no_more(settings: Settings) -> None:
    def get(path: str, host: str) -> bytes:
        return ask(settings.gateway_port, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), 12)

    def found() -> list[bytes]:
        here = f"127.0.0.1:{settings.gateway_port}"
        return [get("/readyz", here), get("/readyz", "evil.example"), get("/../../secrets.json", here)]

    assert as_stranger(found)[0] == b"HTTP/1.1 200"
    assert as_stranger(found)[1] in (b"HTTP/1.1 400", b"HTTP/1.1 403", b"HTTP/1.1 421")
    assert as_stranger(found)[2] == b"HTTP/1.1 404"


# -- as the owner


def test_the_sockets_are_those_of_the_page(settings: Settings) -> None:
    """docs/security.md lists what listens; on this machine only, but for `listen`, which is 127.0.0.1 here."""
    listening = set()
    for process in processes_of(settings):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip.removeprefix("::ffff:") == "127.0.0.1", process  # as Java has it
                listening.add(connection.laddr.port)
    names = (
        *("kafka_port", "kafka_controller_port", "postgres_port", "mqtt_port", "mqtt_tls_port"),
        *("gateway_port", "gateway_tls_port"),
        *(f"{name}_stats_port" for name in ("mqtt", "collection", "processing", "aggregation", "loader", "gateway")),
    )
    optional = {settings.prometheus_port}
    assert listening - optional == {getattr(settings, name) for name in names}


def test_no_secret_is_anywhere_but_in_its_files(settings: Settings, state: StateDirectory) -> None:
    secrets = [state.secrets.of(name).encode() for name in state.secrets.names()]
    seen: dict[str, bytes] = {}
    for process in processes_of(settings):
        for part in ("cmdline", "environ"):
            seen[f"{process.name()} {process.pid} {part}"] = Path(f"/proc/{process.pid}/{part}").read_bytes()
    for file in state.path.rglob("*"):
        if file.is_file():
            seen[str(file.relative_to(state.path))] = file.read_bytes()
    holders = {name for name, content in seen.items() if any(secret in content for secret in secrets)}
    assert holders == {"secrets.json", "kafka/server.properties"}
