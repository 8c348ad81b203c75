"""The REST gateway: its application, and the process around it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from backend_demo import __version__
from backend_demo.errors import ConfigurationInvalid, PortInUse
from backend_demo.gateway import (
    console,
    dead_letters,
    docs,
    exposure,
    health,
    history,
    latest,
    original,
    problems,
    sensors,
    stats,
    stream,
    traces,
    websocket,
)
from backend_demo.gateway.access import Access
from backend_demo.gateway.compression import Compressed
from backend_demo.gateway.dead_letters import DeadLetters
from backend_demo.gateway.direct import Direct
from backend_demo.gateway.limits import Heads, Limited
from backend_demo.gateway.live import Live
from backend_demo.gateway.measure import Measured
from backend_demo.gateway.protocol import BoundedProtocol
from backend_demo.gateway.protocol_ws import FramesProtocol
from backend_demo.gateway.sampler import Sampler
from backend_demo.settings import Settings
from backend_demo.storage.pool import Database

#: Of every answer: it is what it says it is, and no other page embeds it.
HEADERS = [("X-Content-Type-Options", "nosniff"), ("Cross-Origin-Resource-Policy", "same-origin")]

#: Other origins read, and see of an answer's head what our own routes say there.
_CORS: dict[str, Any] = {
    "allow_methods": ("GET", "HEAD"),
    "allow_headers": ("Authorization", "Last-Event-ID"),
    "expose_headers": ("ETag", "Link", "Retry-After", "Sampled", "WWW-Authenticate"),
}

#: Answers under way when the gateway is told to end may take so long; then they are cut off.
SHUTDOWN_S = 3


def create_app(settings: Settings) -> FastAPI:
    """The application. It connects to PostgreSQL when its lifespan begins, and serves while PostgreSQL is away.

    Raises ConfigurationInvalid when others could reach it without a token.
    """
    exposure.check(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Database(settings.postgres_dsn) as database, asyncio.TaskGroup() as tasks:
            app.state.database = database
            app.state.readiness = health.Readiness(database)
            app.state.watch = tasks.create_task(app.state.readiness.watch())
            app.state.sampler = Sampler(settings, app.state.readiness)
            others = (app.state.sampler, app.state.live, app.state.dead_letters)
            running = [app.state.watch, *(tasks.create_task(other.run()) for other in others)]
            yield
            for task in running:
                task.cancel()

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
    app.state.tracer = traces.Tracer(settings, app)
    app.state.live = Live(settings.kafka_bootstrap, clients_max=settings.stream_clients)
    app.state.dead_letters = DeadLetters(settings.kafka_bootstrap)
    problems.install(app)
    docs.install(app)
    console.install(app)
    for module in (original, sensors, history, latest, stream, dead_letters, stats, traces, health):
        app.include_router(module.router)
    app.router.routes.append(websocket.route)
    latest_route = next(route for route in original.router.routes if getattr(route, "path", "") == original.LATEST)
    # what is added later is asked earlier
    app.add_middleware(Compressed)
    app.add_middleware(Direct, route=latest_route)
    app.add_middleware(Access, settings=settings)
    app.add_middleware(Limited)
    if settings.gateway_cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.gateway_cors_origins, **_CORS)
    app.add_middleware(Measured)
    app.add_middleware(Heads)
    return app


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Serves the API until `stop` is set; then answers under way have a few seconds to end.

    Raises PortInUse, ConfigurationInvalid; ServiceFailed when PostgreSQL does not come within a minute of the start.
    """
    app = create_app(settings)
    tls = exposure.tls_context(settings)
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws=FramesProtocol,
        ws_max_size=websocket.MESSAGE_MAX,
        ws_per_message_deflate=False,
        headers=HEADERS,
        ssl_context_factory=(lambda config, default: tls) if tls else None,
        log_config=None,
        # its warnings tell what a client did wrong, at each request
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    server = _Server(
        config,
        ended=lambda: stop.is_set() or app.state.readiness.hopeless or app.state.watch.done(),
        at_end=app.state.live.close,
    )
    with _listen(settings.gateway_host, settings.gateway_port) as listener:
        await server.serve(sockets=[listener])
    if app.state.readiness.hopeless:
        raise app.state.readiness.failure()
    if not app.state.watch.cancelled():
        app.state.watch.result()  # raises what broke it: a bug


class _Server(uvicorn.Server):
    """uvicorn, ended by a condition of ours instead of by the signals, which the process itself handles."""

    def __init__(
        self, config: uvicorn.Config, ended: Callable[[], bool], at_end: Callable[[], Awaitable[None]]
    ) -> None:
        """`at_end`: ends the answers that have no end of their own."""
        super().__init__(config)
        self._ended = ended
        self._at_end = at_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._at_end()
        await super().shutdown(sockets)

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
