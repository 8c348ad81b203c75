"""The service `mqtt`: listens for MQTT clients, and acknowledges what they publish when Kafka has it.

It keeps nothing: any number of copies may share the port, and a client may come back to any of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import faulthandler
import resource
import ssl
import time
from collections.abc import Sequence

import structlog

from backend_demo import metrics
from backend_demo import telemetry as tracing
from backend_demo.adapters import network
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.topics import DEAD_LETTER, SENSOR_DATA
from backend_demo.domain.watchdog import Watchdog
from backend_demo.errors import ConfigurationInvalid, PortInUse
from backend_demo.faust_batch.producer import BatchProducer
from backend_demo.mqtt.codec.packets import ReasonCode
from backend_demo.mqtt.filters import filter_problem
from backend_demo.mqtt.users import Users
from backend_demo.settings import Settings, accepted_filters
from backend_demo.stages.proxy import intake
from backend_demo.stages.proxy.bounds import Bounds
from backend_demo.stages.proxy.clients import Clients
from backend_demo.stages.proxy.connection import ClientConnection
from backend_demo.stages.proxy.hub import Hub
from backend_demo.stages.proxy.intake import Routes
from backend_demo.stages.runtime.process import ServiceProcess, give_way
from backend_demo.stages.runtime.worker import check_topics, reachable

log = structlog.get_logger(__name__)

#: Connections that the kernel holds until they are accepted.
BACKLOG = 1024
#: Pause between two looks at the clients and at Kafka, seconds.
LOOK_S = 1.0
#: The same until Kafka is connected.
START_LOOK_S = 0.1
#: Time after which a Kafka that accepts connections, and does not answer, counts as unreachable, seconds.
SILENT_S = 5.0
#: Time for what is under way when the service ends, seconds.
DRAIN_S = 5.0
#: It runs before the stages: when CPU is short, rows come out rather than messages come in.
NICENESS = 4


async def main(settings: Settings, process: ServiceProcess, stop: asyncio.Event) -> None:
    """Runs the service until `stop` is set. Raises ConfigurationInvalid, PrerequisiteMissing, PortInUse."""
    filters = accepted_filters(settings)
    for topic_filter in filters:
        if problem := filter_problem(topic_filter):
            raise ConfigurationInvalid(
                f"invalid MQTT filter {topic_filter!r}: {problem}",
                hint="fix mqtt_filters in bdemo.toml, or BDEMO_MQTT_FILTERS",
            )
    if settings.mqtt_users_file is None:
        raise ConfigurationInvalid(
            "mqtt_users_file is not set, so no client could log in",
            hint="the stack keeps such a file; for a proxy that runs alone, set BDEMO_MQTT_USERS_FILE",
        )
    give_way(NICENESS)
    _open_files()
    brokers = Brokers.of(settings)
    producer = BatchProducer(**brokers.connection(), client_id="bdemo-mqtt")
    hub = Hub(brokers)
    clients = Clients(Bounds.of(settings), Users(settings.mqtt_users_file), Routes(filters), hub)
    spans = tracing.of(settings, "mqtt")
    connected = asyncio.Event()

    async def pump_when_connected() -> None:
        await producer.start()
        await check_topics(producer, (SENSOR_DATA, DEAD_LETTER))
        connected.set()
        await intake.run(clients.intake, producer, process, spans)

    # clients may connect, and wait, while Kafka is away
    pump = asyncio.create_task(pump_when_connected())
    reader = asyncio.create_task(hub.run())
    servers = [await _listen(settings.mqtt_listen_host, settings.mqtt_port, clients)]
    tls = network.tls_context(settings) if settings.listen else None
    if tls:
        servers.append(await _listen(settings.listen, settings.mqtt_tls_port, clients, tls))
    log.info(
        "listening", host=settings.mqtt_listen_host, port=settings.mqtt_port, network=settings.listen, filters=filters
    )
    try:
        await _watch(settings, process, clients, connected, (pump, reader), tls, stop)
    finally:
        metrics.service_ready.labels("mqtt").set(0)
        await _end(servers, clients)
        for task in (pump, reader):
            task.cancel()
        await producer.stop()
        await asyncio.to_thread(spans.close)
    log.info("stopped")


async def _listen(host: str, port: int, clients: Clients, tls: ssl.SSLContext | None = None) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        # copies share the port, and the kernel spreads connections over them
        return await loop.create_server(
            lambda: ClientConnection(clients), host, port, reuse_port=True, backlog=BACKLOG, ssl=tls
        )
    except OSError as problem:
        if problem.errno != errno.EADDRINUSE:
            raise ConfigurationInvalid(
                f"the MQTT proxy cannot listen on {host} port {port}: {problem.strerror or problem}",
                hint="listen and mqtt_listen_host must be addresses of this machine",
            ) from problem
        setting = "BDEMO_MQTT_TLS_PORT" if tls else "BDEMO_MQTT_PORT"
        raise PortInUse(port, "mqtt", "another process", hint=f"stop it, or choose another with {setting}") from problem


async def _watch(
    settings: Settings,
    process: ServiceProcess,
    clients: Clients,
    connected: asyncio.Event,
    tasks: tuple[asyncio.Task[None], ...],
    tls: network.ServerContext | None,
    stop: asyncio.Event,
) -> None:
    """Reports readiness, keeps time limits and ends a process that is stuck, until `stop` is set."""
    watchdog = Watchdog(settings.watchdog_s, time.monotonic(), patience_s=settings.watchdog_s)
    unreachable_since: float | None = None
    while not stop.is_set():
        up = await reachable(settings.kafka_bootstrap)
        sending_since = clients.intake.sending_since
        answers = up and (sending_since is None or time.monotonic() - sending_since < SILENT_S)
        metrics.service_ready.labels("mqtt").set(answers and connected.is_set())
        if answers == (unreachable_since is not None):
            unreachable_since = None if answers else time.time()
            metrics.kafka_unreachable_since.labels("mqtt").set(unreachable_since or 0)
            log.info("Kafka is back") if answers else log.warning("Kafka is unreachable")
        clients.sweep()
        network.take_renewed((tls,))
        for task in tasks:
            if task.done():
                task.result()
        now, held = time.monotonic(), clients.intake.held
        if watchdog.suspects(now, done=clients.intake.sent, idle=not held) and watchdog.is_stuck(now, reachable=up):
            log.error("no progress", held=held)
            faulthandler.dump_traceback()
            process.end_now(1)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_S if connected.is_set() else START_LOOK_S)


async def _end(servers: Sequence[asyncio.Server], clients: Clients) -> None:
    """Takes no more, acknowledges what is under way, and says good-bye."""
    for server in servers:
        server.close()
    clients.intake.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(clients.intake.emptied(), DRAIN_S)
    clients.send_off(ReasonCode.SERVER_SHUTTING_DOWN)
    await asyncio.sleep(0)  # the last packets are written


def _open_files() -> None:
    """Each connection is an open file: takes as many as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
