"""The state directory: addresses, secrets and locks of one stack, on disk."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from backend_demo.errors import ConfigurationInvalid, NoStack, ResourceInUse

if TYPE_CHECKING:
    from backend_demo.settings import Settings

SCHEMA = "bdemo.stack/1"

#: Who may do what: `sensor` publishes, `bridge` and `observer` subscribe; `bdemo` owns tables, `bdemo_reader` reads.
MqttUser = Literal["sensor", "bridge", "observer"]
PostgresUser = Literal["bdemo", "bdemo_reader"]

#: Everybody with a password: those above, and who administers the two servers.
USERS = ("sensor", "bridge", "observer", "mqtt_admin", "postgres", "bdemo", "bdemo_reader")

#: How long `up` and `down` wait for one another.
LOCK_WAIT_S = 15.0

#: Longest folder of unix sockets: a socket's path may have 107 bytes, and `/postgres/.s.PGSQL.65535` follows.
_SOCKETS_MAX = 80

#: All that a stack keeps in its state directory; nothing else there is ever deleted.
CONTENTS = (
    *("kafka", "mqtt", "postgres", "prometheus", "faust", "compose", "logs", "run", "locks"),
    *("supervisor.conf", "stack.json", "secrets.json"),
)

#: Settings that differ from user to user or hold secrets: never in stack.json.
_PRIVATE = {
    *("state_dir", "postgres_dsn", "postgres_reader_dsn", "mqtt_username", "mqtt_password"),
    *("gateway_tokens", "gateway_token", "failpoint"),
}


class StateDirectory:
    """All that one stack keeps: `stack.json` (addresses), `secrets.json`, `locks/`, `logs/`, the servers' data."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.stack_file = self.path / "stack.json"
        self.secrets_file = self.path / "secrets.json"
        self.compose = self.path / "compose"
        """What the compose stack keeps here; its data are in volumes."""
        self.compose_secrets_file = self.compose / "secrets.json"
        self.logs = self.path / "logs"
        self.locks = self.path / "locks"
        self.sockets = self.path / "run"
        if len(os.fsencode(self.sockets)) > _SOCKETS_MAX:
            name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
            # not $TMPDIR: it may be as long, and another one when the stack is looked at again
            self.sockets = Path("/tmp") / f"bdemo-{name}"

    def create(self, *, with_secrets: bool = True) -> None:
        """Makes the directory (0700) and the secrets (0600) where they are missing. Raises ConfigurationInvalid."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            known = self.secrets_file.exists() or self.compose.exists()
            if not known and any(entry.name not in CONTENTS for entry in self.path.iterdir()):
                raise ConfigurationInvalid(
                    f"{self.path} is not empty, and no state directory of bdemo",
                    hint="name an empty or a new directory with --state-dir",
                )
            for folder in (self.logs, self.locks, self.sockets):
                folder.mkdir(exist_ok=True, mode=0o700)
            for folder in (self.path, self.sockets):
                if folder.lstat().st_uid != os.geteuid():
                    raise ConfigurationInvalid(
                        f"{folder} belongs to another user", hint="choose another directory with --state-dir"
                    )
                folder.chmod(0o700)
            if with_secrets and not self.secrets_file.exists():
                write_private(self.secrets_file, json.dumps({user: secrets.token_urlsafe(18) for user in USERS}))
        except OSError as problem:
            raise ConfigurationInvalid(
                f"cannot use {self.path} as state directory: {problem.strerror or problem}",
                hint="choose another one with --state-dir or BDEMO_STATE_DIR",
            ) from problem

    def log_of(self, service: str) -> Path:
        """The log of a service; older parts have `.1` and `.2` behind their names."""
        return self.logs / f"{service}.log"

    def secret(self, user: str) -> str:
        """The password of an MQTT or PostgreSQL user. Raises NoStack."""
        file = self.compose_secrets_file if self.kind() == "compose" else self.secrets_file
        try:
            return str(json.loads(file.read_text())[user])
        except (OSError, ValueError, KeyError):
            raise NoStack(self.path) from None

    def save(self, settings: Settings) -> None:
        """Records a stack that is coming up: its kind, its settings with the ports as they are."""
        values = settings.model_dump(mode="json", exclude=_PRIVATE)
        self._record({"schema": SCHEMA, "settings": values, "copies": {}})

    def forget(self) -> None:
        """Removes the record: no stack runs here."""
        self.stack_file.unlink(missing_ok=True)

    def wipe(self) -> None:
        """Deletes the stack's own files but for the locks. Raises ConfigurationInvalid when one is a link."""
        paths = [self.path / name for name in CONTENTS if name != self.locks.name]
        for path in paths:
            if path.is_symlink():
                raise ConfigurationInvalid(
                    f"{path} is a link: not deleted", hint="remove the link and what it points to"
                )
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def remove_empty(self) -> None:
        """Removes the directory, once it has been wiped; somebody else's files stay, and it with them."""
        for folder in (self.locks, self.path):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def kind(self) -> str | None:
        """Which stack is recorded here: `embedded`, `compose`, none."""
        with contextlib.suppress(NoStack, ConfigurationInvalid):
            return str(self.saved()["stack"])
        return None

    def want(self, copies: Mapping[str, int]) -> None:
        """Records how many copies of these services are to run, beside those recorded before. Raises NoStack."""
        record = self._recorded()
        self._record({**record, "copies": {**record.get("copies", {}), **copies}})

    def wanted(self) -> dict[str, int]:
        """How many copies of each service are to run; one that is missing was not asked for. Raises NoStack."""
        return dict(self._recorded().get("copies", {}))

    def copies(self, names: Collection[str], scale: Mapping[str, int]) -> dict[str, int]:
        """How many copies of these services there are to be: as `scale` says, else as before, else one."""
        before: Mapping[str, int] = {}
        with contextlib.suppress(NoStack, ConfigurationInvalid):
            before = self.wanted()
        return {name: scale.get(name, before.get(name, 1)) for name in names}

    def saved(self) -> dict[str, Any]:
        """The settings of the stack that was brought up here. Raises NoStack, ConfigurationInvalid (other version)."""
        return dict(self._recorded()["settings"])

    def _record(self, record: Mapping[str, Any]) -> None:
        write_private(self.stack_file, json.dumps(record, indent=1))

    def _recorded(self) -> dict[str, Any]:
        try:
            record = json.loads(self.stack_file.read_text())
        except (OSError, ValueError):
            raise NoStack(self.path) from None
        if record.get("schema") != SCHEMA:
            raise ConfigurationInvalid(
                f"{self.path} is of another version of bdemo ({record.get('schema')})",
                hint="stop that stack with its own bdemo, or choose another --state-dir",
            )
        return dict(record)

    def attached(self, settings: Settings, *, mqtt: MqttUser = "sensor", postgres: PostgresUser = "bdemo") -> Settings:
        """`settings` with the running stack's addresses and these users' credentials. Raises NoStack."""
        from backend_demo.settings import Settings  # 0.3 s, and who only asks what is `saved` needs none of it

        values = self.saved()
        return Settings(
            **{
                **values,
                "state_dir": self.path,
                "failpoint": settings.failpoint,
                "tracing_endpoint": settings.tracing_endpoint or values.get("tracing_endpoint", ""),
                "postgres_dsn": self.postgres_dsn(postgres),
                "mqtt_username": mqtt,
                "mqtt_password": self.secret(mqtt),
            }
        )

    def postgres_dsn(self, user: PostgresUser) -> str:
        """Where the running stack's database is, and how this user gets in. Raises NoStack."""
        password = quote(self.secret(user), safe="")
        return f"postgresql://{user}:{password}@127.0.0.1:{self.saved()['postgres_port']}/temperature"

    @contextlib.contextmanager
    def lock(self, name: str, *, wait_s: float = 0.0) -> Iterator[None]:
        """Holds `locks/<name>` for this process; it falls with the process. Raises ResourceInUse after `wait_s`."""
        path = self.locks / name
        deadline = time.monotonic() + wait_s
        while (file := _locked(path)) is None:
            if time.monotonic() >= deadline:
                owner = _first_line(path) or "another process"
                raise ResourceInUse(
                    f"{name} of {self.path} is held by process {owner}", hint="wait for it, or stop that process"
                )
            time.sleep(0.1)
        with file:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def is_locked(self, name: str) -> bool:
        """Whether a process holds `locks/<name>`."""
        path = self.locks / name
        if not path.exists():
            return False
        file = _locked(path)
        if file is None:
            return True
        with file:
            path.unlink(missing_ok=True)
        return False

    def remove_dead_locks(self) -> None:
        """Removes the lock files of processes that were killed."""
        for path in self.locks.glob("*"):
            file = _locked(path)
            if file is not None:
                with file:
                    path.unlink(missing_ok=True)


def _locked(path: Path) -> IO[str] | None:
    """The lock file, locked; None when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        file = open(path, "a+")  # noqa: SIM115 - the caller closes it, and with it the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        # whoever held it may have removed it meanwhile: a lock on a file without a name excludes nobody
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _first_line(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return ""


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
