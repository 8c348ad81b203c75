"""Is it healthy? One real round trip with each service and server, with a time limit; False is any kind of no."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from backend_demo.stack.services import copy_of, stats_port
from backend_demo.stack.state import StateDirectory

LIMIT_S = 2.0
HOST = "127.0.0.1"

Addresses = Mapping[str, Any]
"""The settings of a running stack, as `stack.json` holds them: building the class costs more than all the probes."""


def is_ready(service: str, addresses: Addresses, state: StateDirectory) -> bool:
    """Whether a service of the stack, or a copy of one, can do its work."""
    try:
        return _PROBES.get(service, _ours)(service, addresses, state)
    except (OSError, TimeoutError, http.client.HTTPException, ValueError, EOFError):
        return False


def _kafka(service: str, addresses: Addresses, state: StateDirectory) -> bool:
    """A metadata request (version 1, for no topic), whose answer begins with the brokers: ours must be there."""
    client = b"bdemo-probe"
    request = struct.pack(f">hhih{len(client)}si", 3, 1, 1, len(client), client, 0)
    with _connection(addresses["kafka_port"]) as stream:
        stream.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", _read(stream, 4))
        if not 12 <= length <= 65_536:
            return False
        correlation, brokers = struct.unpack_from(">ii", _read(stream, length))
    return bool(correlation == 1 and brokers >= 1)


def _mqtt(service: str, addresses: Addresses, state: StateDirectory) -> bool:
    """An MQTT 3.1.1 connect with a session of its own, accepted, and a clean farewell."""

    def text(value: str) -> bytes:
        return struct.pack(">H", len(value)) + value.encode()

    flags = 0b1100_0010  # user name, password, clean session
    body = text("MQTT") + bytes([4, flags]) + struct.pack(">H", 10)
    body += text(f"bdemo-probe-{os.getpid()}") + text("observer") + text(state.secret("observer"))
    with _connection(addresses["mqtt_port"]) as stream:
        stream.sendall(bytes([0x10, len(body)]) + body)
        accepted = _read(stream, 4) == b"\x20\x02\x00\x00"
        stream.sendall(b"\xe0\x00")
    return accepted


def _postgres(service: str, addresses: Addresses, state: StateDirectory) -> bool:
    """`select 1` as the reader."""
    import asyncpg

    async def ask() -> bool:
        async with asyncio.timeout(LIMIT_S):
            connection = await asyncpg.connect(
                host=HOST,
                port=addresses["postgres_port"],
                user="bdemo_reader",
                password=state.secret("bdemo_reader"),
                database="temperature",
                ssl=False,
            )
            try:
                return bool(await connection.fetchval("select 1") == 1)
            finally:
                await connection.close()

    try:
        return asyncio.run(ask())
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


def _gateway(service: str, addresses: Addresses, state: StateDirectory) -> bool:
    """GET /readyz: it answers, and reaches its database."""
    return _get(addresses["gateway_port"], "/readyz")[0] == 200


def _prometheus(service: str, addresses: Addresses, state: StateDirectory) -> bool:
    """GET /-/ready: it has read its data and answers queries."""
    return _get(addresses["prometheus_port"], "/-/ready")[0] == 200


def _ours(service: str, addresses: Addresses, state: StateDirectory) -> bool:
    """The gauge by which a service says that it can work: its session exists, its partitions are assigned."""
    status, page = _get(stats_port(service, addresses), "/metrics")
    ready = f'bdemo_service_ready{{service="{copy_of(service)[0].name}"}} 1.0'
    return status == 200 and ready in page.splitlines()


_PROBES: dict[str, Callable[[str, Addresses, StateDirectory], bool]] = {
    "kafka": _kafka,
    "mqtt": _mqtt,
    "postgres": _postgres,
    "gateway": _gateway,
    "prometheus": _prometheus,
}


def _get(port: int, path: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection(HOST, port, timeout=LIMIT_S)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")


def _connection(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), LIMIT_S)


def _read(stream: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = stream.recv(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
