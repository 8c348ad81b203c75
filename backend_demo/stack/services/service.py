"""Service: what a service may define, so that both stacks and every command need to know nothing else of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.stack.state.directory import StateDirectory
    from backend_demo.stack.state.secrets import MqttUser, PostgresUser

Addresses = Mapping[str, Any]
"""The settings of a running stack, as `stack.json` holds them: building the class costs more than all the probes."""


@dataclass(frozen=True)
class WaitingFor:
    """It runs, and can do nothing as long as another server does not answer."""

    server: str
    """As its name is written: `Kafka`."""
    since: float
    """Epoch seconds."""


Health = Literal["ready", "rebalancing", "down"] | WaitingFor
"""`rebalancing`: it has been ready and waits for its consumer group to assign the partitions again."""

Passwords = Mapping[str, str]
"""Passwords by user."""

Yaml = Mapping[str, Any]
"""A mapping of a compose file; its values may be those of `services/container.py`."""


DEFAULT_STOP_SIGNAL = "TERM"


@dataclass(frozen=True)
class Port:
    """A port of a service."""

    setting: str = ""
    """The setting that holds it, whose default is the port inside the container. Empty: only containers have it."""
    variable: str = ""
    """The name of the port in compose/.env. Empty: the container does not publish it."""
    number: int = 0
    """The default of a port that no setting holds."""
    network: bool = False
    """It is open to other machines, if the stack is; else nobody listens there."""


@dataclass(frozen=True)
class Variable:
    """A variable of compose/.env; its text is how a compose file refers to it."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"${{{self.name}:-{self.value}}}"


@dataclass(frozen=True)
class Program:
    """A child process of the embedded stack."""

    name: str
    group: Literal["servers", "services"]
    """Services are stopped before the servers: a consumer does not end while Kafka is away."""
    command: tuple[str, ...]
    stop_signal: str = DEFAULT_STOP_SIGNAL
    once: bool = False
    """It does one thing and ends; it is not restarted."""
    drops_privileges: bool = False
    """It drops root's rights by itself; from all others the supervisor takes them."""


@dataclass(frozen=True)
class ServerAccess:
    """How a server is reached by what provisions it."""

    host: str
    settings: Addresses
    password: Callable[[str], str]
    """The password of a user."""
    state_dir: Path | None = None
    """The state directory of the embedded stack; None: the server is a container."""


@dataclass(frozen=True, kw_only=True)
class KafkaRights:
    """What a service may do in the stack's own Kafka; nothing else."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    group: bool = False
    """It reads as a consumer group of its own name."""


@dataclass(frozen=True)
class OneShot:
    """A container that does one thing before that of a service starts, and ends."""

    about: str
    """What it does, as `Service.about`."""
    container: Callable[[], Yaml]
    """The compose service, without what follows from the other fields. It runs as the user of the service's image."""
    secret_files: Callable[[Passwords], dict[str, str]]
    """The files in its /run/secrets, by name."""


@dataclass(frozen=True, kw_only=True)
class KeptData:
    """The data of a server that is a child process: what a backup keeps of it."""

    folder: str
    """Its path in the state directory."""
    version: str
    """The version of the server."""
    goes_on_with: Callable[[str], bool]
    """Whether this server can go on with the data of that version of it."""
    end_offsets: Callable[[Path], dict[str, list[int]] | None] | None = None
    """Where its topics end, by partition, as its folder says while it does not run; None when that is not known."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process of the stack. A *server* is somebody else's program; a *stage* or the gateway is ours."""

    name: str
    about: str
    """What it does, as the rest of a sentence that begins with its name."""
    needs: tuple[str, ...] = ()
    """Services that must be ready before it can work."""
    listens: tuple[Port, ...] = ()
    """The port that clients use comes first, that of its metrics last."""
    single: str = ""
    """Why there is never more than one copy of it. Empty: there may be one per partition."""
    shares_port: bool = False
    """Its copies listen on one and the same port, and share its connections."""
    optional: bool = False
    """It takes no part in the pipeline: the embedded `up` goes on without it, unless it was named."""
    asked_for: Callable[[Addresses], bool] | None = None
    """Whether the settings ask for it; `up` starts it otherwise only when it is named. None: they always do."""

    # -- ours: a module of this package, run by `bdemo run`
    entry_point: str = ""
    """The module whose `main(settings, process, stop)` is the service. Empty: it is a server."""
    owns_input: bool = True
    """It owns partitions or a session, which another process takes over when it stands still."""
    job: str = ""
    """The original's name of its Prometheus job, where it differs from the service's name."""
    mqtt_user: MqttUser | Literal[""] = ""
    """The MQTT user as which it connects."""
    postgres_user: PostgresUser | Literal[""] = ""
    """The PostgreSQL role as which it connects."""
    kafka_rights: KafkaRights | None = None
    """What its Kafka user may do. None: it has no user."""

    # -- servers: what they hold
    users: tuple[str, ...] = ()
    """Users whose passwords it checks."""
    accepts: Callable[[ServerAccess], bool] | None = None
    """Whether the server can be provisioned. None: as soon as it is ready."""
    provision: Callable[[ServerAccess], str | None] | None = None
    """Makes what the server must hold before others can use it, and is missing; what was lost. Raises ServiceFailed."""
    may_lose: bool = False
    """Users can delete what it must hold while it runs, so that each `up` looks."""

    # -- as child processes
    programs: Callable[[Settings, StateDirectory, Callable[[str], None]], list[Program]] | None = None
    """Fetches and configures what it needs, and reports progress; the programs, also of copies to come.

    Raises PrerequisiteMissing. None: the embedded stack does not have it.
    """
    check_installed: Callable[[], None] | None = None
    """Raises PrerequisiteMissing when its program, which we do not bring, is not on this machine."""
    data: KeptData | None = None
    """Its data, which a backup keeps. None: it has none, or none that would be missed."""
    stop_signal: str = DEFAULT_STOP_SIGNAL
    """The signal that ends its program."""
    probe: Callable[[int, Addresses, StateDirectory], bool | Health] | None = None
    """Whether the copy of that number can do its work, or its health, by one real round trip.

    May raise what a connection raises.
    """
    background: Callable[[], str | None] | None = None
    """The program to start in the background when the stack is up, if there is one to start."""
    end_leftovers: Callable[[StateDirectory], bool] | None = None
    """Ends what a killed server left behind, beside the processes of the supervisor. False: nothing."""
    addresses: Callable[[Addresses, StateDirectory, Mapping[str, str]], dict[str, str]] | None = None
    """Where clients reach it, given the variables of the compose files as well; for `bdemo status`."""

    # -- as a container
    container: Callable[[], Yaml] | None = None
    """The compose service, without what follows from the other fields: ports, secrets, needs and profile."""
    before: OneShot | None = None
    """What prepares its data before it starts, named `before_name`."""
    client_settings: Mapping[str, str] | None = None
    """The settings by which services in containers find it."""
    secret_files: Callable[[Settings, Passwords], dict[str, str]] | None = None
    """The files in its /run/secrets, by name."""
    image_user: bool = False
    """Its container runs as the user of the image, not as ours."""
    variables: tuple[Variable, ...] = ()
    """Variables of compose/.env beside its ports; the version first."""

    @property
    def ours(self) -> bool:
        """Whether it is a stage or the gateway."""
        return bool(self.entry_point)

    @property
    def kafka_user(self) -> str:
        """The Kafka user as which it connects; empty if it has none."""
        return f"kafka-{self.name}" if self.kafka_rights else ""

    @property
    def before_name(self) -> str:
        """The name of the container that prepares its data."""
        return f"{self.name}-setup"

    @property
    def ports(self) -> tuple[str, ...]:
        """The settings that hold its ports."""
        return tuple(port.setting for port in self.listens if port.setting)

    @property
    def stats_port(self) -> str:
        """The setting that holds the port of its metrics; it must be ours."""
        return self.listens[-1].setting

    @property
    def client_port(self) -> str | None:
        """The setting that holds the port that clients use, if it has one beside that of its metrics."""
        return self.listens[0].setting if len(self.listens) > 1 or not self.ours else None


@dataclass(frozen=True)
class Profile:
    """An addition to the compose stack: `--profile NAME`."""

    name: str
    services: tuple[Service, ...] = ()
    """What it adds to the table of services, or replaces there."""
    overlay: Callable[[Mapping[str, Service]], Yaml] | None = None
    """A compose file laid over compose.yaml, for these services. None: the profile is within compose.yaml."""
    header: str = ""
    """The comment at the head of the overlay."""
    own_data: bool = False
    """Its data cannot be used without it, nor the other way round."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that go with it."""
    addressed: Callable[[Addresses, Mapping[str, int]], dict[str, Any]] | None = None
    """Settings that change for clients on this machine, given the ports that no setting holds, by their variables."""
    variables: tuple[Variable, ...] = ()
