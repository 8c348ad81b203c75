"""The REST gateway: its application, and the process around it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from backend_demo import __version__
from backend_demo.adapters import network
from backend_demo.adapters.kafka import Brokers
from backend_demo.adapters.network import ServerContext
from backend_demo.errors import ConfigurationInvalid, PortInUse
from backend_demo.gateway import console, problems
from backend_demo.gateway.edge import exposure
from backend_demo.gateway.edge.access import Access
from backend_demo.gateway.edge.compression import Compressed
from backend_demo.gateway.edge.http_protocol import BoundedProtocol
from backend_demo.gateway.edge.limits import Heads, Limited
from backend_demo.gateway.edge.logins import Logins
from backend_demo.gateway.edge.measure import Measured
from backend_demo.gateway.edge.ws_protocol import FramesProtocol
from backend_demo.gateway.ingest.writer import ReadingWriter
from backend_demo.gateway.live.hub import Live
from backend_demo.gateway.readiness import Readiness
from backend_demo.gateway.routes import (
    averages,
    dead_letters,
    docs,
    health,
    ingest,
    latest,
    login,
    mqtt,
    original,
    readings,
    replays,
    sensors,
    stats,
    stream,
    traces,
    websocket,
)
from backend_demo.gateway.routes.dead_letters import DeadLetterReader
from backend_demo.gateway.routes.ingest import IngestGate
from backend_demo.gateway.routes.original import Direct
from backend_demo.gateway.sampler import StatsSampler
from backend_demo.mqtt.users import Users
from backend_demo.settings import Settings
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.storage.pool import Database

#: Headers of every answer: browsers trust its media type, and no other site embeds it.
HEADERS = [("X-Content-Type-Options", "nosniff"), ("Cross-Origin-Resource-Policy", "same-origin")]

#: Other origins may read, and see the headers that our routes set.
_CORS: dict[str, Any] = {
    "allow_methods": ("GET", "HEAD"),
    "allow_headers": ("Authorization", "Last-Event-ID"),
    "expose_headers": ("ETag", "Link", "Retry-After", "Sampled", "WWW-Authenticate"),
}

#: Time for answers in progress when the gateway stops, before they are cut off, seconds.
SHUTDOWN_S = 3

#: uvicorn's ticks, ten a second, between two looks at the files of certificates.
TICKS_PER_LOOK = 10


def create_app(settings: Settings) -> FastAPI:
    """Builds the application. Its lifespan connects to PostgreSQL; it also serves while PostgreSQL is unavailable.

    Raises ConfigurationInvalid if other machines could reach it without a token, or if the file of MQTT users is
    invalid.
    """
    exposure.check(settings)
    users = Users(settings.mqtt_users_file) if settings.mqtt_users_file else None

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Database(settings.postgres_dsn) as database, asyncio.TaskGroup() as tasks:
            app.state.database = database
            app.state.readiness = Readiness(database)
            app.state.watch = tasks.create_task(app.state.readiness.watch())
            app.state.sampler = StatsSampler(settings, app.state.readiness, app.state.dead_letters.total)
            others = (app.state.sampler, app.state.live, app.state.dead_letters, app.state.writer)
            running = [app.state.watch, *(tasks.create_task(other.run()) for other in others)]
            yield
            for task in running:
                task.cancel()
            if users is not None:
                users.close()

    app = FastAPI(
        title="REST API",
        version=__version__,
        summary="Temperatures of sensors: readings, their averages, the newest ones.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # otherwise looked up at every request: 10 us
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.tracer = traces.Tracer(settings, app)
    app.state.logins = Logins(settings)
    brokers = Brokers.of(settings)
    app.state.live = Live(brokers, clients_max=settings.stream_clients)
    app.state.dead_letters = DeadLetterReader(brokers)
    app.state.settings = settings
    app.state.writer = ReadingWriter(brokers)
    app.state.ingest = IngestGate(settings, users, app.state.writer)
    problems.install(app)
    docs.install(app)
    console.install(app)
    for module in (
        original,
        sensors,
        readings,
        ingest,
        averages,
        latest,
        stream,
        dead_letters,
        replays,
        stats,
        traces,
        health,
        login,
    ):
        app.include_router(module.router)
    app.router.routes += [websocket.route, mqtt.route(settings)]
    latest_route = next(route for route in original.router.routes if getattr(route, "path", "") == original.LATEST)
    # the last one added handles a request first
    app.add_middleware(Compressed)
    app.add_middleware(Direct, route=latest_route)
    app.add_middleware(Access, settings=settings, logins=app.state.logins)
    app.add_middleware(Limited)
    if settings.gateway_cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.gateway_cors_origins, **_CORS)
    app.add_middleware(Measured)
    app.add_middleware(Heads)
    return app


async def main(settings: Settings, process: ServiceProcess, stop: asyncio.Event) -> None:
    """Serves the API until `stop` is set; answers in progress then have a few seconds to finish.

    Raises PortInUse, ConfigurationInvalid, and ServiceFailed if PostgreSQL is not available within a minute.
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
        # its warnings are about what clients do wrong, one for each request
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
        at_end=lambda: _end_waits(app),
    )
    with contextlib.ExitStack() as listeners:
        plain = listeners.enter_context(_listen(settings.gateway_host, settings.gateway_port))
        tls_of_network = exposure.network_context(settings)
        if tls_of_network:
            listener = listeners.enter_context(_listen(settings.listen, settings.gateway_tls_port))
            server.network = listener, tls_of_network
        server.contexts = (tls, tls_of_network)
        await server.serve(sockets=[plain])
    if app.state.readiness.hopeless:
        raise app.state.readiness.failure()
    if not app.state.watch.cancelled():
        app.state.watch.result()  # raises the bug that ended it


async def _end_waits(app: FastAPI) -> None:
    """Ends what could outlast the time for a clean end."""
    app.state.writer.close()
    await app.state.live.close()


class _Server(uvicorn.Server):
    """uvicorn, stopped by a condition instead of by signals, which the process itself handles."""

    def __init__(
        self, config: uvicorn.Config, ended: Callable[[], bool], at_end: Callable[[], Awaitable[None]]
    ) -> None:
        """`at_end` ends the endless streams, and the waiting for Kafka."""
        super().__init__(config)
        self.network: tuple[socket.socket, ssl.SSLContext] | None = None
        """A listener for other machines, with its TLS."""
        self.contexts: tuple[ServerContext | None, ...] = ()
        """Whose certificates may be renewed."""
        self._ended = ended
        self._at_end = at_end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.network is None or not self.started:
            return
        listener, tls = self.network
        made = partial(
            cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        loop = asyncio.get_running_loop()
        self.servers.append(await loop.create_server(made, sock=listener, ssl=tls, backlog=self.config.backlog))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._at_end()
        await super().shutdown(sockets)

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_PER_LOOK == 0:
            network.take_renewed(self.contexts)
        return await super().on_tick(counter) or self._ended()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise PortInUse(
                port, "gateway", "another process", hint="stop it, or choose another port with BDEMO_GATEWAY_PORT"
            ) from problem
        raise ConfigurationInvalid(
            f"the gateway cannot listen on {host} port {port}: {problem.strerror or problem}",
            hint="change BDEMO_GATEWAY_HOST or BDEMO_GATEWAY_PORT",
        ) from problem
