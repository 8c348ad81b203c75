"""`bdemo mqtt user add`."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from backend_demo.cli import options, render
from backend_demo.cli.mqtt.registry import registry


@dataclass(frozen=True, kw_only=True)
class Document:
    """The new user as JSON; its password is shown here and nowhere else."""

    schema: Literal["bdemo.mqtt.user.add/1"] = "bdemo.mqtt.user.add/1"
    user: str
    password: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    host: str
    port: int
    command: str
    """A command of mosquitto's clients that uses the rights."""


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 letters, digits and . _ -")],
    publish: Annotated[
        list[str] | None,
        typer.Option(metavar="FILTER", help="Let it publish on these topics; may be repeated.", show_default=False),
    ] = None,
    subscribe: Annotated[
        list[str] | None,
        typer.Option(metavar="FILTER", help="Let it subscribe to these topics; may be repeated.", show_default=False),
    ] = None,
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Add an MQTT user and print its password.

    The password is shown once and stored only as a hash. The user may do what the filters say and nothing else; it can
    connect at once, also by HTTP to POST /v1/readings. The stack need not be running.

    \b
    Examples:
      $ bdemo mqtt user add kitchen --publish 'sensors/7/#'
      $ bdemo mqtt user add hall --publish 'sensors/8/#' --subscribe 'sensors/#'
    """
    from backend_demo.mqtt.users_file import Rights

    rights = Rights(tuple(dict.fromkeys(publish or ())), tuple(dict.fromkeys(subscribe or ())))
    password = registry(state_dir).add(name, rights)
    host, port = _address(state_dir)
    added = Document(
        user=name,
        password=password,
        publish=rights.publish,
        subscribe=rights.subscribe,
        host=host,
        port=port,
        command=command(name, password, rights.publish, rights.subscribe, host, port),
    )
    render.show(added, output, _view)


def _address(state_dir: Path | None) -> tuple[str, int]:
    """Where the stack's broker listens, or will listen."""
    from backend_demo.errors import NoStack
    from backend_demo.stack.state.directory import StateDirectory

    settings = options.settings(state_dir=state_dir)
    try:
        recorded = StateDirectory(settings.state_dir).record.settings()
    except NoStack:
        return settings.mqtt_host, settings.mqtt_port
    return recorded["mqtt_host"], recorded["mqtt_port"]


def command(
    name: str, password: str, publish: tuple[str, ...], subscribe: tuple[str, ...], host: str, port: int
) -> str:
    """A command line that publishes a reading, or subscribes if that is all that the user may do."""
    access = ["-h", host, "-p", str(port), "-u", name, "-P", password, "-q", "1"]
    if not publish:
        return shlex.join(["mosquitto_sub", *access, "-v", "-t", subscribe[0]])
    payload = json.dumps({"value": 21.5, "timestamp": int(time.time())})
    return shlex.join(["mosquitto_pub", *access, "-t", topic_within(publish[0]), "-m", payload])


def topic_within(topic_filter: str) -> str:
    """A topic that the filter matches, if possible one of a reading: `sensors/7/#` has `sensors/7/temperature`."""
    if topic_filter == "#":
        return "sensors/1/temperature"
    levels = {"+": "1", "#": "temperature"}
    return "/".join(levels.get(level, level) for level in topic_filter.split("/"))


def _view(added: Document) -> render.View:
    yield f"user       {added.user}"
    yield f"password   {added.password}"
    for right, filters in (("publish", added.publish), ("subscribe", added.subscribe)):
        if filters:
            yield f"{right:9}  {'  '.join(filters)}"
    yield ""
    yield added.command
    render.say("The password is not stored: keep it now.")
