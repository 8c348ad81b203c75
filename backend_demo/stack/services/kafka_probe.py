"""Whether Kafka can do its work: a login and a request, by hand, as importing a client takes longer than all of it."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING

from backend_demo.stack.services import round_trip, scram
from backend_demo.stack.services.kafka_users import MECHANISM, PROTOCOL
from backend_demo.stack.services.service import Addresses
from backend_demo.stack.state.secrets import KAFKA_READER

if TYPE_CHECKING:
    from backend_demo.stack.state.directory import StateDirectory

# as Kafka's protocol numbers its requests; and a number that an answer repeats
_METADATA, _SASL_HANDSHAKE, _SASL_AUTHENTICATE, _CORRELATION = 3, 17, 36, 1


def probe(number: int, addresses: Addresses, state: StateDirectory) -> bool:
    """Logs in, and asks for the brokers (Metadata version 1, for no topic): ours must be there."""
    with round_trip.connect(addresses["kafka_port"]) as stream:
        if addresses.get("kafka_security_protocol") == PROTOCOL:
            _log_in(stream, state.secrets.of(KAFKA_READER))
        answer = _ask(stream, _METADATA, 1, struct.pack(">i", 0))
        (brokers,) = struct.unpack_from(">i", answer)
    return bool(brokers >= 1)


def _log_in(stream: socket.socket, password: str) -> None:
    mechanism = MECHANISM.encode()
    (refused,) = struct.unpack_from(">h", _ask(stream, _SASL_HANDSHAKE, 1, _string(mechanism)))
    if refused:
        raise ValueError("it does not have this mechanism")
    exchange = scram.log_in(KAFKA_READER, password)
    message = next(exchange)
    with contextlib.suppress(StopIteration):
        while True:
            answer = _ask(stream, _SASL_AUTHENTICATE, 0, struct.pack(">i", len(message)) + message)
            (refused, told) = struct.unpack_from(">hh", answer)
            if refused:
                raise ValueError("it refuses this user")
            message = exchange.send(answer[8 + max(0, told) :])


def _ask(stream: socket.socket, api: int, version: int, body: bytes) -> bytes:
    """The answer to a request. Raises OSError, EOFError; ValueError when it is not one."""
    head = struct.pack(">hhi", api, version, _CORRELATION) + _string(b"bdemo-probe")
    stream.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
    (length,) = struct.unpack(">i", round_trip.read(stream, 4))
    if not 8 <= length <= 65_536:
        raise ValueError("no answer of Kafka")
    answer = round_trip.read(stream, length)
    if struct.unpack_from(">i", answer) != (_CORRELATION,):
        raise ValueError("the answer to another question")
    return answer[4:]


def _string(value: bytes) -> bytes:
    return struct.pack(">h", len(value)) + value
