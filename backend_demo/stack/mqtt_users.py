"""Who may do what over MQTT, in either stack, running or not: add, list and remove users."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from backend_demo.errors import ConfigurationInvalid, NoStack, UnknownName, UsageError
from backend_demo.mqtt.passwords import StoredPassword
from backend_demo.mqtt.users_file import Rights, UserEntry, checked_filters, name_problem
from backend_demo.stack.services.mosquitto import MOSQUITTO
from backend_demo.stack.services.mqtt_users import STANDARD
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.users_file import Change, UserEntries, UsersFile


class UsersStore(Protocol):
    """Where a stack keeps its users."""

    def read(self) -> Mapping[str, UserEntry]:
        """The users. Raises ConfigurationInvalid."""

    def edit(self, change: Change) -> None:
        """As `UsersFile.edit`."""


@dataclass(frozen=True)
class MqttUsers:
    """The users of one stack."""

    store: UsersStore

    def all(self) -> dict[str, Rights]:
        """The rights of all users, the stack's own first. Raises ConfigurationInvalid."""
        found = self.store.read()
        names = sorted(found, key=lambda name: (name not in STANDARD, name))
        return {name: found[name].rights for name in names}

    def add(self, name: str, rights: Rights) -> str:
        """Adds a user; returns its password, which is stored nowhere. Raises UsageError, ConfigurationInvalid."""
        check_new(name, rights)
        password = secrets.token_urlsafe(18)
        entry = UserEntry(StoredPassword.of(password.encode()), rights)

        def change(users: UserEntries) -> UserEntries:
            if name in users:
                raise UsageError(
                    f"there is a user {name} already", hint=f"for a new password: bdemo mqtt user rm {name}, then add"
                )
            return {**users, name: entry}

        self.store.edit(change)
        return password

    def remove(self, name: str) -> None:
        """Removes a user. Raises UsageError, UnknownName, ConfigurationInvalid."""
        if name in STANDARD:
            raise UsageError(f"{name} is a user of the stack itself", hint="only users that were added can be removed")

        def change(users: UserEntries) -> UserEntries:
            if name not in users:
                raise UnknownName("user", name, users)
            return {other: entry for other, entry in users.items() if other != name}

        self.store.edit(change)


def check_new(name: str, rights: Rights) -> None:
    """Whether there may be such a user. Raises UsageError."""
    if name in STANDARD:
        raise UsageError(f"{name} is a user of the stack itself", hint="choose another name")
    if problem := name_problem(name):
        raise UsageError(f"invalid name {name[:80]!r}: {problem}", hint="write for example: kitchen-sensor")
    for option, filters in (("--publish", rights.publish), ("--subscribe", rights.subscribe)):
        try:
            checked_filters(filters)
        except ValueError as invalid:
            raise UsageError(f"{option}: {invalid}", hint=f"write for example: {option} 'sensors/7/#'") from invalid
    if not rights.publish and not rights.subscribe:
        raise UsageError(
            f"{name} would have no rights", hint="add --publish 'sensors/7/#', or --subscribe 'sensors/7/#', or both"
        )


def users_of(state_dir: Path) -> MqttUsers:
    """The users of the stack in a state directory. Raises NoStack, ConfigurationInvalid."""
    state = StateDirectory(state_dir)
    if state.record.kind() == "compose" or (state.record.kind() is None and state.compose.is_dir()):
        from backend_demo.stack.compose.project import Project
        from backend_demo.stack.compose.users_file import ContainerUsersFile

        project = Project(state)
        if not project.exists:
            raise NoStack(state.path)
        if MOSQUITTO.name in project.plan().profiles:
            raise ConfigurationInvalid(
                f"the MQTT broker of the stack in {state.path} is mosquitto, which has users of its own",
                hint="start the stack without --profile mosquitto, in another --state-dir",
            )
        return MqttUsers(ContainerUsersFile(project.name))
    if not state.secrets_file.exists():
        raise NoStack(state.path)
    return MqttUsers(UsersFile(state.mqtt_users_file))
