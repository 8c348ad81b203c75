"""Brings the tables to this version: Alembic's migrations, never a drop."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from backend_demo.adapters.postgres import PostgresRefusal, connect
from backend_demo.errors import ConfigurationInvalid, ServiceFailed


def upgrade(dsn: str) -> None:
    """Migrates the database that `dsn` names. Raises ServiceFailed, ConfigurationInvalid (it is of a newer version)."""
    asyncio.run(_upgrade(dsn))


async def _upgrade(dsn: str) -> None:
    engine = create_async_engine("postgresql+asyncpg://", poolclass=NullPool, async_creator=partial(connect, dsn))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_run)
    except PostgresRefusal as problem:
        raise ServiceFailed(str(problem), hint="check BDEMO_POSTGRES_DSN") from problem
    except (OSError, TimeoutError) as problem:
        raise ServiceFailed(f"cannot reach PostgreSQL: {problem}", hint="see: bdemo status") from problem
    except DBAPIError as problem:
        reason = str(problem.orig).strip().splitlines()[0]
        hint = "check BDEMO_POSTGRES_DSN: user, password, database"
        raise ServiceFailed(f"PostgreSQL refuses: {reason}", hint=hint) from problem
    finally:
        await engine.dispose()


def _run(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if not connection.dialect.has_table(connection, "alembic_version"):
        found = set()
    else:
        found = set(connection.exec_driver_sql("select version_num from alembic_version").scalars())
    if found - known:
        raise ConfigurationInvalid(
            f"the database was made by a newer bdemo (revision {', '.join(sorted(found - known))})",
            hint="install that version, or use another --state-dir",
        )
    command.upgrade(config, "head")
