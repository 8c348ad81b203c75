"""The state directory: addresses, secrets and locks of one stack, on disk."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from backend_demo.errors import ConfigurationInvalid, NoStack, ResourceInUse
from backend_demo.settings import Settings

SCHEMA = "bdemo.stack/1"

#: Who may do what: `sensor` publishes, `bridge` and `observer` subscribe; `bdemo` owns the tables, `bdemo_reader` reads.
MqttUser = Literal["sensor", "bridge", "observer"]
PostgresUser = Literal["bdemo", "bdemo_reader"]

#: Settings that differ from user to user or hold secrets: never in stack.json.
_PRIVATE = {"state_dir", "postgres_dsn", "mqtt_username", "mqtt_password", "failpoint"}


class StateDirectory:
    """Everything that one stack keeps: `stack.json` (addresses), `secrets.json`, `locks/`, `logs/`, the servers' data."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.stack_file = self.path / "stack.json"
        self.secrets_file = self.path / "secrets.json"
        self.logs = self.path / "logs"
        self.locks = self.path / "locks"

    def create(self) -> None:
        """Makes the directory (0700) and the secrets (0600) where they are missing. Raises ConfigurationInvalid."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (self.logs, self.locks):
                folder.mkdir(exist_ok=True, mode=0o700)
            if self.path.stat().st_uid != os.geteuid():
                raise ConfigurationInvalid(
                    f"{self.path} belongs to another user", hint="choose another directory with --state-dir"
                )
            self.path.chmod(0o700)
            if not self.secrets_file.exists():
                users = ("sensor", "bridge", "observer", "postgres", "bdemo", "bdemo_reader")
                write_private(self.secrets_file, json.dumps({user: secrets.token_urlsafe(18) for user in users}))
        except OSError as problem:
            raise ConfigurationInvalid(
                f"cannot use {self.path} as state directory: {problem.strerror or problem}",
                hint="choose another one with --state-dir or BDEMO_STATE_DIR",
            ) from problem

    def secret(self, user: str) -> str:
        """The password of an MQTT or PostgreSQL user. Raises NoStack."""
        try:
            return str(json.loads(self.secrets_file.read_text())[user])
        except (OSError, ValueError, KeyError):
            raise NoStack(self.path) from None

    def save(self, settings: Settings) -> None:
        """Records a stack that is coming up: its kind, its settings with the ports as they are."""
        values = settings.model_dump(mode="json", exclude=_PRIVATE)
        write_private(self.stack_file, json.dumps({"schema": SCHEMA, "settings": values}, indent=1))

    def forget(self) -> None:
        """Removes the record: no stack runs here."""
        self.stack_file.unlink(missing_ok=True)

    def saved(self) -> dict[str, Any]:
        """The settings of the stack that was brought up here. Raises NoStack, ConfigurationInvalid (other version)."""
        try:
            record = json.loads(self.stack_file.read_text())
        except (OSError, ValueError):
            raise NoStack(self.path) from None
        if record.get("schema") != SCHEMA:
            raise ConfigurationInvalid(
                f"{self.path} is of another version of bdemo ({record.get('schema')})",
                hint="stop that stack with its own bdemo, or choose another --state-dir",
            )
        return dict(record["settings"])

    def attached(
        self, settings: Settings, *, mqtt: MqttUser = "sensor", postgres: PostgresUser = "bdemo"
    ) -> Settings:
        """`settings` with the running stack's addresses and these users' credentials. Raises NoStack."""
        values = self.saved()
        port = values["postgres_port"]
        password = quote(self.secret(postgres), safe="")
        return Settings(
            **{
                **values,
                "state_dir": self.path,
                "failpoint": settings.failpoint,
                "postgres_dsn": f"postgresql://{postgres}:{password}@127.0.0.1:{port}/temperature",
                "mqtt_username": mqtt,
                "mqtt_password": self.secret(mqtt),
            }
        )

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Holds `locks/<name>` for this process; it falls with the process. Raises ResourceInUse."""
        self.locks.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self.locks / name, "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                owner = file.read().strip() or "another process"
                raise ResourceInUse(
                    f"{name} of {self.path} is held by process {owner}", hint="wait for it, or stop that process"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
