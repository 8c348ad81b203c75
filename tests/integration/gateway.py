"""The gateway as a process of a test's own."""

import contextlib
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import httpx

from tests.integration.postgres import free_port


def until(true: Callable[[], Any], what: str, timeout_s: float = 20) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)
    return found


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
        """`settings`: further ones, by their names in the environment. `tls`: what its clients trust."""
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
        """What it wrote on stderr, when it has ended."""
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
        """What it wrote on stderr."""
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
    timeout_s: float = 20,
) -> Iterator[GatewayProcess]:
    """A gateway that is ready. In the end it has told of no bug, and given back its connections to PostgreSQL."""
    gateway = GatewayProcess(dsn, settings=settings, tls=tls)
    try:
        until(gateway.ready, "ready", timeout_s)
        yield gateway
    finally:
        gateway.end()
    assert "Traceback" not in gateway.said
    assert "active transaction" not in gateway.said
