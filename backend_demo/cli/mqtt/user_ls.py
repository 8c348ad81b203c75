"""`bdemo mqtt user ls`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backend_demo.cli import options, render
from backend_demo.cli.mqtt.registry import registry


@dataclass(frozen=True)
class MqttUserRow:
    """One user."""

    user: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    standard: bool
    """It belongs to the stack and cannot be removed."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """The users as JSON."""

    schema: Literal["bdemo.mqtt.user.ls/1"] = "bdemo.mqtt.user.ls/1"
    users: tuple[MqttUserRow, ...]


def ls(state_dir: options.StateDir = None, output: options.OutputFormat = options.Output.table) -> None:
    """List the MQTT users and what they may do.

    Users of the stack itself come first. Passwords are not shown: only their hashes are stored.

    \b
    Examples:
      $ bdemo mqtt user ls
      $ bdemo mqtt user ls -o json | jq -r '.users[].user'
    """
    from backend_demo.stack.services.mqtt_users import STANDARD

    users = registry(state_dir).all()
    rows = (MqttUserRow(name, rights.publish, rights.subscribe, name in STANDARD) for name, rights in users.items())
    render.show(Document(users=tuple(rows)), output, _view)


def _view(found: Document) -> render.View:
    rows = [
        (row.user, "  ".join(row.publish), "  ".join(row.subscribe), "the stack's" if row.standard else "")
        for row in found.users
    ]
    yield render.Table(("user", "publish", "subscribe", ""), rows)
