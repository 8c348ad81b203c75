"""The state directory: paths, record, secrets and locks of one stack."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from backend_demo.errors import ConfigurationInvalid
from backend_demo.stack.state.handed_on import FILE, HandedOn
from backend_demo.stack.state.locks import Locks
from backend_demo.stack.state.paths import Paths
from backend_demo.stack.state.record import StackRecord
from backend_demo.stack.state.secrets import KAFKA_READER, TOKEN, MqttUser, PostgresUser, Secrets

if TYPE_CHECKING:
    from backend_demo.settings import Settings


class StateDirectory(Paths):
    """All that one stack keeps on disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.record = StackRecord(self.stack_file)
        self.locks = Locks(self.locks_folder)
        self.handed_on = HandedOn(self.sockets / FILE)

    @property
    def secrets(self) -> Secrets:
        """The passwords: a compose stack's are made in a container and copied here."""
        file = self.compose_secrets_file if self.record.kind() == "compose" else self.secrets_file
        return Secrets(file, self.path)

    def create(self, users: Collection[str] = (), *, to_restore: bool = False) -> None:
        """Makes the directory (0700) and the passwords of these users (0600) where they are missing.

        Raises ConfigurationInvalid, also as `check_whole` unless a backup is to be restored there.
        """
        if not to_restore:
            self.check_whole()
        try:
            self.create_folders()
            if users:
                Secrets(self.secrets_file, self.path).create(users)
        except OSError as problem:
            raise ConfigurationInvalid(
                f"cannot use {self.path} as state directory: {problem.strerror or problem}",
                hint="choose another one with --state-dir or BDEMO_STATE_DIR",
            ) from problem

    def attached(
        self,
        settings: Settings,
        *,
        mqtt: MqttUser = "sensor",
        postgres: PostgresUser = "bdemo",
        kafka: str = KAFKA_READER,
    ) -> Settings:
        """`settings` with the running stack's addresses and these users' credentials. Raises NoStack."""
        from backend_demo.settings import Settings  # takes 0.3 s, which a look at the record alone need not spend

        recorded = self.record.settings()
        # the broker of a bridge is not the stack's: its user is in the settings
        elsewhere = (recorded.get("mqtt_source"), recorded["stack"]) == ("bridge", "embedded")
        kafka_asks = str(recorded.get("kafka_security_protocol")).startswith("SASL")
        private = bool(recorded.get("gateway_private"))
        token = self.secrets.of(TOKEN) if recorded.get("listen") or private else ""
        own_token = (token,) if token else ()
        return Settings(
            **{
                **recorded,
                "state_dir": self.path,
                "failpoint": settings.failpoint,
                "gateway_tokens": settings.gateway_tokens or (own_token if private else ()),
                "gateway_token": settings.gateway_token or (token if private else ""),
                "tracing_endpoint": settings.tracing_endpoint or recorded.get("tracing_endpoint", ""),
                "postgres_dsn": self.postgres_dsn(postgres),
                "kafka_username": kafka if kafka_asks else "",
                "kafka_password": self.secrets.of(kafka) if kafka_asks else "",
                "network_tokens": settings.network_tokens or own_token,
                "mqtt_username": settings.mqtt_username if elsewhere else mqtt,
                "mqtt_password": settings.mqtt_password if elsewhere else self.secrets.of(mqtt),
            }
        )

    def started_with(self) -> Settings:
        """The settings with which the running stack was started, to start it again. Raises NoStack."""
        from backend_demo.settings import Settings

        return Settings(**{**self.record.settings(), **self.handed_on.settings(), "state_dir": self.path})

    def postgres_dsn(self, user: PostgresUser) -> str:
        """The data source name of the running stack's database for this user. Raises NoStack."""
        password = quote(self.secrets.of(user), safe="")
        return f"postgresql://{user}:{password}@127.0.0.1:{self.record.settings()['postgres_port']}/temperature"
