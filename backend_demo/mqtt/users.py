"""The users of a running server: their passwords and rights, as the users file has them now."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

import structlog

from backend_demo.errors import ConfigurationInvalid
from backend_demo.mqtt.checks import CheckBusy, PasswordChecks
from backend_demo.mqtt.passwords import COST, HASH_BYTES, SALT_BYTES, StoredPassword
from backend_demo.mqtt.users_file import Rights, UserEntry, name_problem, parse

__all__ = ["CheckBusy", "Rights", "Users"]

log = structlog.get_logger()


class Users:
    """The users of a file, which is read again when it changes. Belongs to one event loop."""

    def __init__(self, file: Path) -> None:
        """Raises ConfigurationInvalid when the file cannot be used."""
        self._file = file
        self._users: Mapping[str, UserEntry] = {}
        self._seen: tuple[int, ...] | None = None
        self._checks = PasswordChecks()
        self._key = os.urandom(32)
        self._right: dict[str, bytes] = {}  # by user: keyed digest of the password that was right
        # for users who do not exist: as much work as for one who does, and never right
        self._nobody = StoredPassword(COST, os.urandom(SALT_BYTES), os.urandom(HASH_BYTES))
        self._version = 0
        try:
            self._read()
        except (OSError, ValueError) as problem:
            raise ConfigurationInvalid(
                f"cannot use the MQTT users in {file}: {_reason(problem)}",
                hint="bdemo up makes and keeps this file; or name another with mqtt_users_file",
            ) from problem

    def close(self) -> None:
        """Ends the thread that checks passwords."""
        self._checks.close()

    async def check(self, name: str, password: bytes, origin: str = "") -> Rights | None:
        """The rights of a user; None when there is no such user or the password is wrong.

        `origin`: the client's address; no address and no user can fill the queue of checks. Raises CheckBusy.
        """
        self._refresh()
        if name_problem(name):
            return None
        entry = self._users.get(name)
        stored = entry.password if entry else self._nobody
        digest = self._digest(name, stored, password)
        if entry and hmac.compare_digest(self._right.get(name, b""), digest):
            return entry.rights
        right = await self._checks.run(digest, lambda: stored.accepts(password), origin=origin, name=name)
        self._refresh()
        now = self._users.get(name)
        if not right or now is None or now.password != stored:  # removed or replaced meanwhile
            return None
        self._right[name] = digest
        return now.rights

    @property
    def version(self) -> int:
        """A number that is another one after each change of the users; costs one look at the file."""
        self._refresh()
        return self._version

    def rights(self, name: str) -> Rights | None:
        """What a user may do now; None when it has been removed.

        Their `login` differs from the one at the log-in when the password has been replaced since.
        """
        self._refresh()
        entry = self._users.get(name)
        return entry.rights if entry else None

    def _refresh(self) -> None:
        """Reads the file again if it is another one; if it cannot be used, the users stay as they were."""
        try:
            if _identity(os.stat(self._file)) != self._seen:
                self._read()
        except (OSError, ValueError) as problem:
            if self._seen is not None:  # not again until it changes
                log.warning("mqtt users not read again", file=str(self._file), reason=_reason(problem))
            self._seen = None if isinstance(problem, OSError) else self._seen

    def _read(self) -> None:
        with open(self._file, "rb") as file:
            self._seen = _identity(os.fstat(file.fileno()))
            users = parse(file.read())
        if users != self._users:
            self._right = {
                name: digest
                for name, digest in self._right.items()
                if name in users and users[name].password == self._users[name].password
            }
            self._users = users
            self._version += 1

    def _digest(self, name: str, stored: StoredPassword, password: bytes) -> bytes:
        parts = (name.encode(), str(stored).encode(), password)
        found = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            found.update(len(part).to_bytes(4, "big") + part)
        return found.digest()


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _reason(problem: Exception) -> str:
    return (problem.strerror or str(problem)) if isinstance(problem, OSError) else str(problem)
