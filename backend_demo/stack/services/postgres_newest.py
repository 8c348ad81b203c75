"""What PostgreSQL knows and a new Kafka does not: the time of the newest reading."""

from __future__ import annotations

import asyncio
import time

from backend_demo.errors import ServiceFailed
from backend_demo.stack.services.postgres import DATABASE
from backend_demo.stack.services.service import ServerAccess

#: How long Kafka, when it creates its topics, waits for the database of a stack that had one, seconds.
NEWEST_LIMIT_S = 20.0


async def newest_reading(access: ServerAccess) -> float | None:
    """The time of the newest reading that is stored, epoch seconds; None for none. Raises ServiceFailed."""
    import asyncpg

    from backend_demo.adapters.postgres import FAILURES, connect_to_stack
    from backend_demo.storage.latest import newest_time

    if access.state_dir is not None and not (access.state_dir / "postgres/data/postmaster.opts").exists():
        return None  # it has never run
    host = access.host if access.state_dir else "postgres"
    admin = ("postgres", access.password("postgres"))
    deadline = time.monotonic() + NEWEST_LIMIT_S
    while True:
        try:
            connection = await connect_to_stack(host, access.settings["postgres_port"], *admin, DATABASE)
            try:
                return await newest_time(connection)
            finally:
                await connection.close()
        except asyncpg.InvalidCatalogNameError:
            return None
        except FAILURES as problem:
            if time.monotonic() > deadline:
                raise ServiceFailed(
                    f"cannot ask PostgreSQL for its newest reading, which averages depend on: {problem}",
                    hint="bring it up first: bdemo up postgres",
                ) from problem
        await asyncio.sleep(0.2)
