"""The REST gateway: its application, and the process around it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable

import uvicorn
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from backend_demo import __version__, metrics
from backend_demo.errors import ConfigurationInvalid, PortInUse
from backend_demo.gateway import docs, health, original, problems, v1
from backend_demo.settings import Settings
from backend_demo.storage.pool import Database

#: Answers under way when the gateway is told to end may take so long; then they are cut off.
SHUTDOWN_S = 3


def create_app(settings: Settings) -> FastAPI:
    """The application. It connects to PostgreSQL when its lifespan begins, and serves while PostgreSQL is away."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Database(settings.postgres_dsn) as database, asyncio.TaskGroup() as tasks:
            app.state.database = database
            app.state.readiness = health.Readiness(database)
            app.state.watch = tasks.create_task(app.state.readiness.watch())
            yield
            app.state.watch.cancel()

    app = FastAPI(
        title="REST API",
        version=__version__,
        summary="Temperatures of sensors: readings, their averages, the newest ones.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    docs.install(app)
    for router in (original.router, v1.router, health.router):
        app.include_router(router)
    if _is_loopback(settings.gateway_host):
        # a page in this machine's browser must not reach us under a name of its own (DNS rebinding)
        hosts = ["localhost", "127.0.0.1", "[::1]", settings.gateway_host]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    return app


async def serve(settings: Settings) -> None:
    """Serves the API and the metrics until cancelled, or told to end by a signal.

    Raises PortInUse, ConfigurationInvalid; ServiceFailed when PostgreSQL does not come within a minute of the start.
    """
    listener = _listen(settings.gateway_host, settings.gateway_port)
    try:
        metrics.serve(settings, "gateway")
    except OSError as problem:
        listener.close()
        raise PortInUse(settings.gateway_stats_port, "gateway (metrics)", "another process") from problem
    app = create_app(settings)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=SHUTDOWN_S,
        ),
        ends_when=lambda: app.state.readiness.hopeless or app.state.watch.done(),
    )
    # what exists now stays: looked at seldom, it costs 50 us less a request
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
    await server.serve(sockets=[listener])
    if server.cancelled:
        raise asyncio.CancelledError
    if app.state.readiness.hopeless:
        raise app.state.readiness.failure()
    if not app.state.watch.cancelled():
        app.state.watch.result()  # a bug


class _Server(uvicorn.Server):
    """uvicorn, but a cancellation ends it as a signal does: answers are finished, connections closed."""

    def __init__(self, config: uvicorn.Config, ends_when: Callable[[], bool]) -> None:
        super().__init__(config)
        self.cancelled = False
        self._ends_when = ends_when

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except asyncio.CancelledError:
            self.cancelled = self.should_exit = True
            await self.lifespan.shutdown()

    async def main_loop(self) -> None:
        try:
            await super().main_loop()
        except asyncio.CancelledError:
            self.cancelled = True

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._ends_when()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise PortInUse(port, "gateway", "another process") from problem
        raise ConfigurationInvalid(
            f"the gateway cannot listen on {host} port {port}: {problem.strerror or problem}",
            hint="change BDEMO_GATEWAY_HOST or BDEMO_GATEWAY_PORT",
        ) from problem


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
