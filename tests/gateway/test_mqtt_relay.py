"""/mqtt relays bytes between a WebSocket and the MQTT listener, here any TCP server; what they mean is no matter."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import websockets

from tests.support.gateway import GatewayProcess, serving
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.wait import eventually

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

#: More than all buffers on the way can hold, bytes.
FLOOD = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def listener_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def relay(database: PostgresServer, listener_port: int) -> Iterator[GatewayProcess]:
    settings = {"BDEMO_MQTT_PORT": str(listener_port), "BDEMO_STREAM_CLIENTS": "3"}
    with serving(database.dsn("bdemo_reader"), settings=settings) as gateway:
        yield gateway
        eventually(lambda: gateway.metric("bdemo_streams") == 0, "that no connection is left")


@contextlib.asynccontextmanager
async def listening(port: int, handler: Handler) -> AsyncIterator[None]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


def client(gateway: GatewayProcess, **more: Any) -> Any:
    named = {"subprotocols": ["mqtt"], "compression": None, "max_size": None, **more}
    return websockets.connect(gateway.url.replace("http", "ws") + "/mqtt", **named)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


async def refused(gateway: GatewayProcess, **more: Any) -> int:
    with pytest.raises(websockets.InvalidStatus) as problem:
        async with client(gateway, **more):
            pass
    return problem.value.response.status_code


def test_bytes_in_both_directions_whatever_the_frames(relay: GatewayProcess, listener_port: int) -> None:
    async def run() -> None:
        async with listening(listener_port, echo), client(relay) as socket:
            assert socket.subprotocol == "mqtt"
            sent = b""
            for size in (1, 2, 1000, 65_536, 300_000, 0, 7):
                piece = bytes(index * size % 251 for index in range(size))
                sent += piece
                await socket.send(piece)
            await socket.send([b"in ", b"several ", b"frames"])
            sent += b"in several frames"
            got = b""
            while len(got) < len(sent):
                piece = await socket.recv()
                assert isinstance(piece, bytes)
                got += piece
            assert got == sent

    asyncio.run(run())


def test_the_listener_gets_what_was_sent_before_the_client_left(relay: GatewayProcess, listener_port: int) -> None:
    async def run() -> None:
        got = asyncio.get_running_loop().create_future()

        async def read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            got.set_result(await reader.read())

        async with listening(listener_port, read_all):
            async with client(relay) as socket:
                await socket.send(b"x" * 200_000)
            assert await asyncio.wait_for(got, 20) == b"x" * 200_000

    asyncio.run(run())


def test_the_client_gets_what_was_sent_before_the_listener_closed(relay: GatewayProcess, listener_port: int) -> None:
    async def say_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"y" * 200_000)
        await writer.drain()

    async def run() -> None:
        async with listening(listener_port, say_and_close), client(relay) as socket:
            got = b"".join([piece async for piece in socket])
            assert (len(got), socket.close_code) == (200_000, 1000)

    asyncio.run(run())


def test_text_is_refused(relay: GatewayProcess, listener_port: int) -> None:
    async def run() -> None:
        async with listening(listener_port, echo), client(relay) as socket:
            await socket.send("text")
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 1003

    asyncio.run(run())


def test_a_message_that_is_too_large_is_refused(relay: GatewayProcess, listener_port: int) -> None:
    async def run() -> None:
        async with listening(listener_port, echo), client(relay) as socket:
            with contextlib.suppress(websockets.ConnectionClosed):
                await socket.send(bytes(1_048_577))
                await socket.recv()
            assert socket.close_code == 1009

    asyncio.run(run())


def test_who_is_refused(relay: GatewayProcess, listener_port: int) -> None:
    async def run() -> None:
        async with listening(listener_port, echo):
            assert await refused(relay, subprotocols=None) == 400
            assert await refused(relay, subprotocols=["bdemo"]) == 400
            assert await refused(relay, origin="http://evil.example") == 403
            async with client(relay, origin=relay.url), client(relay), client(relay):
                assert await refused(relay) == 429
            await asyncio.sleep(0)
        assert await refused(relay) == 503

    asyncio.run(run())


@pytest.mark.parametrize("towards", ["listener", "client"])
def test_the_slower_side_sets_the_pace(relay: GatewayProcess, listener_port: int, towards: str) -> None:
    """While one side takes nothing, the other one has to wait, long before a flood has been sent."""

    async def run() -> None:
        sent = 0
        free = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            if towards == "listener":
                await free.wait()
                while await reader.read(1_000_000):
                    """Takes all of it."""
                return
            while sent < FLOOD:
                writer.write(bytes(65_536))
                await writer.drain()
                sent += 65_536

        async def flood(socket: websockets.ClientConnection) -> None:
            nonlocal sent
            while sent < FLOOD:
                await socket.send(bytes(65_536))
                sent += 65_536

        async with listening(listener_port, handler), client(relay, max_queue=1) as socket:
            flooding = asyncio.ensure_future(flood(socket) if towards == "listener" else asyncio.sleep(0))
            before = -1
            while sent != before or sent == 0:
                before = sent
                await asyncio.sleep(0.5)
            assert 0 < sent < FLOOD // 2
            free.set()
            if towards == "client":
                got = 0
                async for piece in socket:
                    got += len(piece)
                assert got == FLOOD
            await asyncio.wait_for(flooding, 60)

    asyncio.run(run())


def test_the_gateway_stops_while_connections_are_open(database: PostgresServer, listener_port: int) -> None:
    async def run() -> None:
        async with listening(listener_port, echo):
            with serving(database.dsn("bdemo_reader"), settings={"BDEMO_MQTT_PORT": str(listener_port)}) as gateway:
                async with client(gateway) as socket:
                    await socket.send(b"hello")
                    assert await socket.recv() == b"hello"
                    await asyncio.to_thread(gateway.end)
                    with pytest.raises(websockets.ConnectionClosed):
                        await socket.recv()
                    assert socket.close_code == 1012

    asyncio.run(run())
