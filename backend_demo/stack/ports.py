"""The ports of an embedded stack: shifted, chosen, checked; and whose they are when they are taken."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from backend_demo.errors import ConfigurationInvalid, PortInUse
from backend_demo.settings import Settings
from backend_demo.settings_kafka import OF_OTHER_SERVERS
from backend_demo.stack.services.copies import STATS_PORT_STEP, most_copies
from backend_demo.stack.services.round_trip import HOST
from backend_demo.stack.services.table import SERVICES, copy_of, not_asked_for

#: Each port's setting and the service that listens there.
OWNERS: dict[str, str] = {port: service.name for service in SERVICES.values() for port in service.ports}

#: How clients reach MQTT of the stack's own.
_OWN_MQTT = {
    "mqtt_host": HOST,
    "mqtt_tls": False,
    "mqtt_ca_file": None,
    "mqtt_client_cert": None,
    "mqtt_client_key": None,
}


def shifted(settings: Settings) -> Settings:
    """`settings` with the offset added to every port, once. Raises ConfigurationInvalid."""
    ports = {name: int(getattr(settings, name)) + settings.port_offset for name in _own(settings)}
    for name, port in ports.items():
        if port > 65535:
            raise ConfigurationInvalid(
                f"{name} would be {port} with port offset {settings.port_offset}", hint="choose a smaller offset"
            )
        twin = next(other for other in ports if ports[other] == port)
        if twin != name:
            raise ConfigurationInvalid(f"{twin} and {name} are both {port}", hint="give each a port of its own")
    return addressed(settings, ports)


def free(settings: Settings) -> Settings:
    """`settings` with ports that nobody listens on, nor on those of copies to come."""
    with contextlib.ExitStack() as held:  # all are held until the last is chosen, so that none is chosen twice
        ports = {
            name: next(port for port in _candidates() if _hold(port, OWNERS[name], held)) for name in _own(settings)
        }
    return addressed(settings, ports)


def _own(settings: Settings) -> list[str]:
    """The settings whose ports are the stack's own: a service that it is not asked for may run elsewhere."""
    elsewhere = {SERVICES[name].client_port for name in not_asked_for(settings.model_dump())}
    return [name for name in OWNERS if name not in elsewhere]


def unused(held: contextlib.ExitStack) -> int:
    """A port that nobody listens on, kept so until `held` is closed."""
    return next(port for port in _candidates() if _bind([port], held))


def _candidates() -> Iterator[int]:
    """Ports below those of outgoing connections (Linux: 32768 up), any of which one could take at any time."""
    while True:
        yield random.randrange(10_000, 30_000)  # noqa: S311 - no secret


def _hold(port: int, service: str, held: contextlib.ExitStack) -> bool:
    """Binds the port and those of all copies that there may be, or none."""
    return _bind([port + STATS_PORT_STEP * number for number in range(most_copies(SERVICES[service]))], held)


def _bind(wanted: Iterable[int], held: contextlib.ExitStack) -> bool:
    """Binds all ports or none."""
    with contextlib.ExitStack() as these:
        for port in wanted:
            listener = these.enter_context(socket.socket())
            try:
                listener.bind((HOST, port))
            except OSError:
                return False
        held.push(these.pop_all())
    return True


def ignored(settings: Settings) -> list[str]:
    """The settings that ask for an address that other machines can reach, which a stack does not give."""
    wider = ("mqtt_listen_host", "gateway_host", "stats_host")
    return [name for name in wider if getattr(settings, name) not in (HOST, "localhost")]


def addressed(settings: Settings, ports: dict[str, int]) -> Settings:
    """`settings` with these ports and the addresses that follow from them."""
    return settings.model_copy(
        update={
            **ports,
            "port_offset": 0,
            "kafka_bootstrap": f"{HOST}:{ports['kafka_port']}",
            # as the stack's own Kafka has it, whatever another one asks for
            **{name: Settings.model_fields[name].default for name in OF_OTHER_SERVERS},
            "mqtt_listen_host": HOST,
            # what a broker elsewhere asks for does not count here
            **(_OWN_MQTT if "mqtt_port" in ports else {}),
            # where it needs no TLS, which probes and clients of a stack do not speak
            "gateway_host": HOST,
            "gateway_tls_cert": None,
            "gateway_tls_key": None,
            "gateway_url": f"http://{HOST}:{ports['gateway_port']}",
            "stats_host": HOST,
        }
    )


def check_free(settings: Mapping[str, Any], services: Iterable[str]) -> None:
    """Raises PortInUse, with who listens there, when a port of one of `services`, or copies of them, is taken."""
    for name in services:
        entry, number = copy_of(name)
        for port in entry.listens:
            if port.setting and not port.network:
                check_port(int(settings[port.setting]) + STATS_PORT_STEP * (number - 1), name)


def check_port(port: int, service: str, *, hint: str = "stop it, or run: bdemo up --any-port") -> None:
    """Raises PortInUse, with who listens there, when it is taken; ConfigurationInvalid when there is no such port."""
    if port > 65535:
        raise ConfigurationInvalid(f"{service} would listen on {port}", hint="choose fewer copies or lower ports")
    if not _is_free(port):
        raise PortInUse(port, service, _listener(port), hint=hint)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # connections of an earlier stack that linger (TIME_WAIT) do not count
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except PermissionError as problem:
            raise ConfigurationInvalid(
                f"port {port} may be opened by root only", hint="choose a port above 1023"
            ) from problem
        except OSError:
            return False
    return True


def _listener(port: int) -> str:
    import psutil

    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and connection.pid and local and local.port == port:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "another user's process"
