"""Ports of this machine."""

import contextlib
import socket

from backend_demo.stack import ports


def free_port() -> int:
    """A port that nothing listens on."""
    with contextlib.ExitStack() as held:
        return ports.unused(held)


def listens(port: int) -> bool:
    """Whether something accepts connections on that port."""
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex(("127.0.0.1", port)) == 0
