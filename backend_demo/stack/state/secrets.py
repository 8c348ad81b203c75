"""The passwords of a stack, `secrets.json`: made once, one for each user of the servers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from backend_demo.errors import NoStack
from backend_demo.stack.state.files import write_private
from backend_demo.trust import check_private

#: Who may do what: `sensor` publishes, `bridge` and `observer` subscribe; `bdemo` owns tables.
MqttUser = Literal["sensor", "bridge", "observer"]
PostgresUser = Literal["bdemo", "bdemo_loader", "bdemo_reader"]
#: The first may do everything, and is Kafka itself; the second reads all topics. Services have users of their own.
KAFKA_ADMIN, KAFKA_READER = "kafka-admin", "kafka-reader"
#: What the gateway asks other machines for, kept with the passwords.
TOKEN = "network_token"  # noqa: S105 - a name, no secret


class Secrets:
    """The passwords of one stack; `state_dir` is the directory that an error names."""

    def __init__(self, file: Path, state_dir: Path) -> None:
        self._file = file
        self._state_dir = state_dir

    def create(self, users: Iterable[str]) -> None:
        """Makes the passwords that these users lack (0600)."""
        check_private(self._file)
        found = json.loads(self._file.read_text()) if self._file.exists() else {}
        passwords = {**found, **{user: _new() for user in users if user not in found}}
        if passwords != found:
            write_private(self._file, json.dumps(passwords))

    def names(self) -> list[str]:
        """The users that have one. Raises NoStack; ConfigurationInvalid when others may read them."""
        return list(self._read())

    def renew(self, users: Iterable[str]) -> None:
        """Replaces the passwords of these users. Raises as `names`."""
        write_private(self._file, json.dumps({**self._read(), **{user: _new() for user in users}}))

    def of(self, user: str) -> str:
        """The password of an MQTT or PostgreSQL user. Raises NoStack; ConfigurationInvalid when others may read it."""
        try:
            return self._read()[user]
        except KeyError:
            raise NoStack(self._state_dir) from None

    def _read(self) -> dict[str, str]:
        check_private(self._file)
        try:
            return dict(json.loads(self._file.read_text()))
        except (OSError, ValueError):
            raise NoStack(self._state_dir) from None


def _new() -> str:
    return secrets.token_urlsafe(24)
