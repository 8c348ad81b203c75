"""The vocabulary of the container forms: values that a compose file has and Python has not, and parts they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend_demo.stack.services.service import Addresses, Port

if TYPE_CHECKING:
    from backend_demo.stack.state.directory import StateDirectory

#: Where a container finds its secret files.
SECRETS = "/run/secrets"


@dataclass(frozen=True)
class Alias:
    """Refers to a mapping that is anchored: `*hardened`."""

    name: str


@dataclass(frozen=True)
class Anchor:
    """A value that others refer to: `&hardened`."""

    name: str
    value: Any


@dataclass(frozen=True)
class Override:
    """Replaces the list of the file below instead of being appended to it: `!override`."""

    value: Any


@dataclass(frozen=True)
class Note:
    """A value with a comment above it that says why."""

    comment: str
    value: Any


#: What every container is given.
HARDENED = Alias("hardened")
#: What every container of our image is given.
SERVICE = Alias("service")
#: What every container of our image is given that does one thing and ends.
ONCE = Alias("once")
#: The settings of our services.
SETTINGS = Alias("settings")
#: How often and how patiently a container is asked for its health.
HEALTH = Alias("health")


def default(setting: str) -> Any:
    """The default of a setting. Slow at the first call: for the generator of the compose files only."""
    from backend_demo.settings import Settings

    return Settings.model_fields[setting].default


def health(test: Sequence[str], **more: str) -> dict[str, Any]:
    """A health check: the command, and what differs from the common timing."""
    return {"<<": HEALTH, "test": list(test), **more}


def http_health(url: str, **more: str) -> dict[str, Any]:
    """A health check by HTTP, for images with BusyBox's wget."""
    return health(["CMD", "wget", "-q", "-O", "/dev/null", url], **more)


def data_volume(name: str, target: str) -> dict[str, Any]:
    """A volume that keeps the owner it was made with, instead of the image's."""
    return {"type": "volume", "source": name, "target": target, "volume": {"nocopy": True}}


def secrets_volume(name: str) -> dict[str, Any]:
    """The secret files of a service, which nobody else sees."""
    return {
        "type": "volume",
        "source": f"{name}-secrets",
        "target": SECRETS,
        "read_only": True,
        "volume": {"nocopy": True},
    }


def folder(source: str, target: str) -> dict[str, Any]:
    """A folder of this machine, to be read."""
    return {"type": "bind", "source": source, "target": target, "read_only": True}


def page(name: str, port: Port) -> Callable[[Addresses, StateDirectory, Mapping[str, str]], dict[str, str]]:
    """The address of a page that only the compose stack has, in the form of `Service.addresses`."""
    return lambda saved, state, variables: {name: f"http://127.0.0.1:{variables[port.variable]}"}


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings as the environment names them."""
    return {f"BDEMO_{name.upper()}": value for name, value in settings.items()}
