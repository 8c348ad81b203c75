"""A gateway process for tests, without a stack."""

import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import httpx

from tests.support.ports import free_port
from tests.support.wait import eventually

#: Time of the first reading of every sensor, epoch seconds.
START = 1_700_000_000.0
#: Number of rows of sensor 50.
BIG = 200_000
ALL_TIME = {"timestamp_start": 0, "timestamp_end": 9e9}


class GatewayProcess:
    """`bdemo run gateway --standalone`."""

    def __init__(
        self,
        dsn: str,
        port: int | None = None,
        stats_port: int | None = None,
        *,
        settings: Mapping[str, str] = MappingProxyType({}),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`settings`: further settings, by their environment variables. `tls`: the certificates its client trusts."""
        self.port = port or free_port()
        self.stats_port = stats_port or free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        environment = {
            **os.environ,
            "BDEMO_POSTGRES_DSN": dsn,
            "BDEMO_GATEWAY_PORT": str(self.port),
            "BDEMO_GATEWAY_STATS_PORT": str(self.stats_port),
            **settings,
        }
        command = [sys.executable, "-m", "backend_demo", "run", "gateway", "--standalone"]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.said = ""
        """Its stderr, once it has ended."""
        self._client = httpx.Client(base_url=self.url, timeout=30, verify=tls or False)

    def get(self, path: str, headers: dict[str, str] | None = None, **parameters: Any) -> httpx.Response:
        return self._client.get(path, params=parameters or None, headers=headers)

    def alive(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()[1]
        try:
            return self.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def ready(self) -> bool:
        return self.alive() and self.get("/readyz").status_code == 200

    def metric(self, line: str) -> float:
        text = httpx.get(f"http://127.0.0.1:{self.stats_port}/metrics").text
        found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def end(self) -> str:
        """Stops it, and returns its stderr."""
        self._client.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.said = self.process.communicate(timeout=60)[1]
        return self.said


@contextlib.contextmanager
def serving(
    dsn: str,
    *,
    settings: Mapping[str, str] = MappingProxyType({}),
    tls: ssl.SSLContext | None = None,
    timeout_s: float = 60,
) -> Iterator[GatewayProcess]:
    """A gateway that is ready. At the end it has logged no traceback and left no open transaction in PostgreSQL."""
    gateway = GatewayProcess(dsn, settings=settings, tls=tls)
    try:
        eventually(gateway.ready, "ready", timeout_s)
        yield gateway
    finally:
        gateway.end()
    assert "Traceback" not in gateway.said
    assert "active transaction" not in gateway.said


def stalled_client(gateway: GatewayProcess) -> socket.socket:
    """A client of the range of BIG rows that takes no byte of the answer, once that has begun; its buffer is small."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(20)
    client.connect(("127.0.0.1", gateway.port))
    path = b"/temperature?sensor_num=50&timestamp_start=0&timestamp_end=9e9"
    client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    client.recv(1, socket.MSG_PEEK)
    return client
