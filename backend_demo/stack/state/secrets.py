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

#: Who may do what: `sensor` publishes, `bridge` and `observer` subscribe; `bdemo` owns tables, `bdemo_reader` reads.
MqttUser = Literal["sensor", "bridge", "observer"]
PostgresUser = Literal["bdemo", "bdemo_reader"]
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
        passwords = {**found, **{user: secrets.token_urlsafe(24) for user in users if user not in found}}
        if passwords != found:
            write_private(self._file, json.dumps(passwords))

    def of(self, user: str) -> str:
        """The password of an MQTT or PostgreSQL user. Raises NoStack; ConfigurationInvalid when others may read it."""
        check_private(self._file)
        try:
            return str(json.loads(self._file.read_text())[user])
        except (OSError, ValueError, KeyError):
            raise NoStack(self._state_dir) from None
