"""Options that several commands share, and the settings made from them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend_demo.errors import UsageError
from backend_demo.text import host_and_port, mqtt_address

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.stack.state.secrets import MqttUser


def _folder(text: str) -> Path:
    """Refuses the empty path, which would mean the working directory."""
    if not text:
        raise typer.BadParameter("the path is empty")
    return Path(text)


StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        help="The stack's directory.  [env: BDEMO_STATE_DIR]",
        show_default=False,
        parser=_folder,
        metavar="PATH",
    ),
]


def sensor(text: str) -> int:
    """The number of the sensor that a number or a name means. Raises typer.BadParameter."""
    from backend_demo.domain.names import name_problem, number_of

    problem = name_problem(text)
    if problem is not None:
        raise typer.BadParameter(f"invalid sensor {text[:60]!r}: {problem}")
    return number_of(text)


Sensors = Annotated[
    list[int] | None,
    typer.Option(
        "--sensor",
        "-s",
        metavar="SENSOR",
        parser=sensor,
        help="Only this sensor, a number or a name; may be repeated.",
        show_default=False,
    ),
]


class GatewayPage(StrEnum):
    """The pages of the gateway."""

    console = "console"
    docs = "docs"


class Output(StrEnum):
    """Forms of a result."""

    table = "table"
    json = "json"


class StackKind(StrEnum):
    """The two stacks."""

    embedded = "embedded"
    compose = "compose"


OutputFormat = Annotated[Output, typer.Option("--output", "-o", help="How the result is printed.")]


def settings(**flags: Any) -> Settings:
    """The settings with these flags above all other sources."""
    from backend_demo.settings import load

    return load(**flags)


def state_directory(state_dir: Path | None) -> Path:
    """The state directory alone, where no other setting is needed: ten times as quick as all of them."""
    from backend_demo import places

    return state_dir or places.quick_state_dir() or settings().state_dir


def address(option: str, given: str) -> tuple[str, int]:
    """Host and port of an option's value. Raises UsageError."""
    try:
        return host_and_port(given)
    except ValueError as problem:
        raise UsageError(f"{option}: {problem}", hint=f"write HOST:PORT: {option} 127.0.0.1:1883") from problem


def own_broker(given: str) -> Settings:
    """The settings with the broker that `--mqtt` names in place of the stack's. Raises UsageError."""
    try:
        host, port, tls = mqtt_address(given)
    except ValueError as problem:
        raise UsageError(
            f"--mqtt: {problem}", hint="write HOST:PORT, or with TLS: --mqtt mqtts://broker.example:8883"
        ) from problem
    return settings(mqtt_host=host, mqtt_port=port, mqtt_tls=tls)


def copies(words: Iterable[str]) -> dict[str, int]:
    """`processing=3` and the like, as service and number of copies. Raises UsageError."""
    found: dict[str, int] = {}
    for word in words:
        service, equals, count = word.partition("=")
        if not service or not equals:
            raise UsageError(f"invalid number of copies {word!r}", hint="write SERVICE=COPIES: processing=3")
        if not re.fullmatch(r"-?[0-9]{1,9}", count, re.ASCII):
            raise UsageError(f"{word}: invalid number of copies {count!r}", hint=f"write {service}=3")
        if service in found:
            raise UsageError(f"{service} is given twice", hint="give each service one number of copies")
        found[service] = int(count)
    return found


def same_stack(state_dir: Path | None) -> str:
    """What a suggested command needs to mean the same stack: nothing, or ` --state-dir DIR`, as rich markup."""
    from rich.markup import escape

    return escape(f" --state-dir {shlex.quote(str(state_dir))}") if state_dir else ""


def attached(state_dir: Path | None, *, mqtt: MqttUser = "sensor", kafka: str = "kafka-reader") -> Settings:
    """The settings of the stack that runs in the state directory, as these users. Raises NoStack."""
    from backend_demo.stack.state.directory import StateDirectory

    base = settings(state_dir=state_dir)
    return StateDirectory(base.state_dir).attached(base, mqtt=mqtt, kafka=kafka)
