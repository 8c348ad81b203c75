"""PostgreSQL: the tables' database, its roles, and how it is run as a child process or a container."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from backend_demo.errors import ServiceFailed
from backend_demo.stack.privileges import UNPRIVILEGED
from backend_demo.stack.services import postgres_server, round_trip
from backend_demo.stack.services.container import HARDENED, SECRETS, Note, default, health
from backend_demo.stack.services.postgres_roles import RIGHTS_IN_DATABASE, ROLE_LIMITS, ROLES
from backend_demo.stack.services.service import Addresses, Passwords, Port, Program, ServerAccess, Service, Variable

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.stack.state.directory import StateDirectory

DATABASE = "temperature"

#: The superuser, the owner of the tables, a role that writes rows, and one that only reads.
SUPERUSER = "postgres"
USERS = (SUPERUSER, "bdemo", "bdemo_loader", "bdemo_reader")

#: Both forms of the server have these.
SERVER_SETTINGS = {
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "track_commit_timestamp": "on",  # benchmarks/latency.py reads when each row was committed
    "shared_buffers": "64MB",
    # a login that is not finished holds one of the 100 connections
    "authentication_timeout": "10s",
    "reserved_connections": "10",
}

#: How both forms make a data directory.
INITDB_OPTIONS = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")

#: SIGTERM would wait for the clients.
STOP_SIGNAL = "INT"


# -- as a child process


def prepare(port: int, state: StateDirectory) -> Program:
    """Makes the data directory, once; returns the program that runs the server. Raises PrerequisiteMissing."""
    folder, sockets = state.path / "postgres", state.sockets / "postgres"
    data = folder / "data"
    for place in (folder, sockets):
        place.mkdir(exist_ok=True, mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(place, UNPRIVILEGED)
    if os.geteuid() == 0:
        sockets.chmod(0o755)  # our services are root without the right to pass through folders of others
    postgres_server.provide(data, state.secrets.of("postgres"), INITDB_OPTIONS)
    settings = {
        "listen_addresses": round_trip.HOST,
        **SERVER_SETTINGS,
        "port": str(port),
        "unix_socket_directories": f'"{sockets}"',
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    server = [str(postgres_server.binary("postgres")), "-D", str(data), *options]
    wrapper = (sys.executable, "-m", "backend_demo.stack.services.postgres_server", str(data), str(sockets))
    return Program("postgres", "servers", (*wrapper, "--", *server), stop_signal=STOP_SIGNAL, drops_privileges=True)


def _programs(settings: Settings, state: StateDirectory, report: Callable[[str], None]) -> list[Program]:
    return [prepare(settings.postgres_port, state)]


def _end_leftovers(state: StateDirectory) -> bool:
    data = state.path / "postgres" / "data"
    found = postgres_server.end_backends(data)
    (data / "postmaster.pid").unlink(missing_ok=True)
    return found


def probe(number: int, addresses: Addresses, state: StateDirectory) -> bool:
    """`select 1` as the reader, in the pipeline's database."""
    return _answers(
        round_trip.HOST,
        addresses["postgres_port"],
        "bdemo_reader",
        state.secrets.of("bdemo_reader"),
        DATABASE,
        round_trip.LIMIT_S,
    )


# -- what it must hold


def accepts(access: ServerAccess) -> bool:
    """`select 1` as the superuser: nobody else is there yet."""
    port = access.settings["postgres_port"]
    return _answers(access.host, port, "postgres", access.password("postgres"), "postgres", limit_s=5)


def _answers(host: str, port: int, user: str, password: str, database: str, limit_s: float) -> bool:
    from backend_demo.adapters.postgres import FAILURES, connect_to_stack

    async def ask() -> bool:
        async with asyncio.timeout(limit_s):
            connection = await connect_to_stack(host, port, user, password, database)
            try:
                return bool(await connection.fetchval("select 1") == 1)
            finally:
                await connection.close()

    try:
        return asyncio.run(ask())
    except FAILURES:
        return False


def provision(access: ServerAccess) -> None:
    """Makes roles and database, and brings the tables to this version. Raises ServiceFailed, ConfigurationInvalid."""
    from backend_demo.storage import retention, revision

    port, passwords = access.settings["postgres_port"], {user: access.password(user) for user in USERS}
    owner = dsn("bdemo", passwords["bdemo"], access.host, port)
    if make_roles(access.host, port, passwords) != revision.newest():
        from backend_demo.storage.migrate import upgrade

        upgrade(owner)
    retention.set_policy(owner, access.settings.get("retention", 0.0))


def make_roles(host: str, port: int, passwords: Mapping[str, str]) -> str | None:
    """Makes the roles and the database, or corrects them; returns the revision of the tables. Raises ServiceFailed."""
    from backend_demo.adapters.postgres import FAILURES

    try:
        return asyncio.run(_make_roles(host, port, passwords))
    except FAILURES as problem:
        raise ServiceFailed(f"cannot set up PostgreSQL: {problem}", hint="see: bdemo logs postgres") from problem


async def _make_roles(host: str, port: int, passwords: Mapping[str, str]) -> str | None:
    from backend_demo.adapters.postgres import connect_to_stack

    admin = ("postgres", passwords["postgres"])
    async with asyncio.timeout(30):
        connection = await connect_to_stack(host, port, *admin, "postgres")
        try:
            for role in USERS[1:]:
                if not await connection.fetchval("select true from pg_roles where rolname = $1", role):
                    await connection.execute(f"create role {role} login")
                await connection.execute(f"alter role {role} password '{passwords[role]}'")
            await connection.execute(ROLE_LIMITS)
            await connection.execute(ROLES)
            if not await connection.fetchval("select true from pg_database where datname = 'temperature'"):
                await connection.execute("create database temperature owner bdemo")
        finally:
            await connection.close()
        connection = await connect_to_stack(host, port, *admin, DATABASE)
        try:
            await connection.execute(RIGHTS_IN_DATABASE)
            if not await connection.fetchval("select to_regclass('public.alembic_version')"):
                return None
            revision = await connection.fetchval("select version_num from alembic_version")
            return None if revision is None else str(revision)
        finally:
            await connection.close()


def dsn(user: str, password: str, host: str, port: int) -> str:
    """The connection URL of a role."""
    return f"postgresql://{user}:{quote(password, safe='')}@{host}:{port}/{DATABASE}"


# -- as a container


def container_dsn(user: str, passwords: Passwords) -> str:
    """The connection URL of a role, for other containers."""
    return dsn(user, passwords[user], POSTGRES.name, default("postgres_port"))


def _container() -> dict[str, Any]:
    return {
        "<<": HARDENED,
        "image": f"postgres:{POSTGRES.variables[0]}",
        "user": "postgres",
        "environment": {
            "POSTGRES_PASSWORD_FILE": f"{SECRETS}/postgres_password",
            "POSTGRES_INITDB_ARGS": " ".join(INITDB_OPTIONS),
        },
        "command": ["postgres", *(f"-c{name}={value}" for name, value in SERVER_SETTINGS.items())],
        "volumes": ["postgres-data:/var/lib/postgresql"],
        "tmpfs": ["/tmp:size=64m", "/var/run/postgresql:size=1m,uid=999,gid=999"],  # noqa: S108 - in the container
        "mem_limit": "1g",
        "pids_limit": 200,
        "stop_signal": f"SIG{STOP_SIGNAL}",
        "stop_grace_period": "30s",
        "healthcheck": Note(
            "over TCP: the server that the image starts to set the data up listens on its socket only",
            health(
                [
                    "CMD-SHELL",
                    f"PGPASSWORD=$$(cat {SECRETS}/postgres_password) psql -h 127.0.0.1 -U postgres -qtAc 'select 1'",
                ]
            ),
        ),
    }


def _addresses(saved: Addresses, state: StateDirectory, variables: Mapping[str, str]) -> dict[str, str]:
    sockets = {"postgres_socket": f"{state.sockets / 'postgres'}"} if saved["stack"] == "embedded" else {}
    return {"postgres": f"postgresql://bdemo@127.0.0.1:{saved['postgres_port']}/{DATABASE}", **sockets}


POSTGRES = Service(
    name="postgres",
    about="holds the tables",
    listens=(Port("postgres_port", "PG_HOST_PORT"),),
    single="its data belong to a single process",
    users=USERS,
    programs=_programs,
    data=postgres_server.DATA,
    stop_signal=STOP_SIGNAL,
    probe=probe,
    end_leftovers=_end_leftovers,
    accepts=accepts,
    provision=provision,
    addresses=_addresses,
    container=_container,
    secret_files=lambda settings, passwords: {"postgres_password": passwords["postgres"]},
    image_user=True,
    variables=(Variable("PG_VERSION", postgres_server.VERSION),),
)
