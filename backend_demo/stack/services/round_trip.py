"""The ends of a probe: a connection, an HTTP request, so many bytes; each with a time limit."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing

LIMIT_S = 2.0
HOST = "127.0.0.1"


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body of an HTTP request to this machine."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=LIMIT_S)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")


def connect(port: int) -> socket.socket:
    """A connection to this machine."""
    return socket.create_connection((HOST, port), LIMIT_S)


def read(stream: socket.socket, length: int) -> bytes:
    """Exactly that many bytes. Raises EOFError."""
    data = b""
    while len(data) < length:
        piece = stream.recv(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
