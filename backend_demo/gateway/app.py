"""The REST gateway: its application, and the process around it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable

import uvicorn
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from backend_demo import __version__
from backend_demo.errors import ConfigurationInvalid, PortInUse
from backend_demo.gateway import console, docs, health, history, latest, original, problems, sensors
from backend_demo.gateway.direct import Direct
from backend_demo.gateway.measure import Measured
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
        # looked up at every request otherwise: 10 us
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    problems.install(app)
    docs.install(app)
    console.install(app)
    for router in (original.router, sensors.router, history.router, latest.router, health.router):
        app.include_router(router)
    latest_route = next(route for route in original.router.routes if getattr(route, "path", "") == original.LATEST)
    app.add_middleware(Direct, route=latest_route)
    if _is_loopback(settings.gateway_host):
        # a page in this machine's browser must not reach us under a name of its own (DNS rebinding)
        hosts = ["localhost", "127.0.0.1", "[::1]", settings.gateway_host]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    app.add_middleware(Measured)
    return app


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Serves the API until `stop` is set; then answers under way have a few seconds to end.

    Raises PortInUse, ConfigurationInvalid; ServiceFailed when PostgreSQL does not come within a minute of the start.
    """
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    server = _Server(config, lambda: stop.is_set() or app.state.readiness.hopeless or app.state.watch.done())
    with _listen(settings.gateway_host, settings.gateway_port) as listener:
        await server.serve(sockets=[listener])
    if app.state.readiness.hopeless:
        raise app.state.readiness.failure()
    if not app.state.watch.cancelled():
        app.state.watch.result()  # raises what broke it: a bug


class _Server(uvicorn.Server):
    """uvicorn, ended by a condition of ours instead of by the signals, which the process itself handles."""

    def __init__(self, config: uvicorn.Config, ended: Callable[[], bool]) -> None:
        super().__init__(config)
        self._ended = ended

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._ended()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise PortInUse(
                port, "gateway", "another process", hint="stop it, or choose another with BDEMO_GATEWAY_PORT"
            ) from problem
        raise ConfigurationInvalid(
            f"the gateway cannot listen on {host} port {port}: {problem.strerror or problem}",
            hint="change BDEMO_GATEWAY_HOST or BDEMO_GATEWAY_PORT",
        ) from problem


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
