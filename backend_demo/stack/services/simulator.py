"""The simulator: sensors that publish, as a container of the profile `simulator`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backend_demo.stack.services.container import SERVICE, Note, default, health
from backend_demo.stack.services.ours import credentials, settings_of
from backend_demo.stack.services.service import Passwords, Service, Variable

if TYPE_CHECKING:
    from backend_demo.settings import Settings

_SENSORS, _RATE = Variable("SIMULATOR_SENSORS", "5"), Variable("SIMULATOR_RATE", "1")


def _container() -> dict[str, Any]:
    port = default("mqtt_port")
    return {
        "<<": SERVICE,
        "command": ["bdemo", "simulate", f"--mqtt=mqtt:{port}", f"--sensors={_SENSORS}", f"--rate={_RATE}"],
        "environment": settings_of(SIMULATOR),
        "healthcheck": Note(
            f"01: a connection that is open; {port:04X}: port {port}",
            health(["CMD", "grep", "-q", f":{port:04X} 01 ", "/proc/net/tcp"]),
        ),
    }


def _secret_files(settings: Settings, passwords: Passwords) -> dict[str, str]:
    return credentials(SIMULATOR, passwords)


SIMULATOR = Service(
    name="simulator",
    about="publishes readings as sensors would",
    needs=("mqtt",),
    single="its sensors are numbered from 1",
    mqtt_user="sensor",
    container=_container,
    secret_files=_secret_files,
    variables=(_SENSORS, _RATE),
)
