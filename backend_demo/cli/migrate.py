"""`bdemo migrate`: creates the missing topics and brings the tables to this version."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import typer

from backend_demo.cli import options, render


@dataclass(frozen=True, kw_only=True)
class Document:
    """What was done, as JSON; null is what was left out."""

    schema: Literal["bdemo.migrate/1"] = "bdemo.migrate/1"
    created_topics: list[str] | None
    migrated_tables: bool


def migrate(
    state_dir: options.StateDir = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Use the addresses in the settings instead of a running stack's.")
    ] = False,
    topics: Annotated[bool, typer.Option("--topics/--no-topics", help="Create the missing Kafka topics.")] = True,
    tables: Annotated[bool, typer.Option("--tables/--no-tables", help="Migrate the PostgreSQL tables.")] = True,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Create missing topics and migrate the tables; drops nothing.

    `bdemo up` does this itself: this command is for servers of your own.

    \b
    Examples:
      $ BDEMO_KAFKA_BOOTSTRAP=kafka:9092 BDEMO_POSTGRES_DSN=postgresql://me@db/temperature bdemo migrate --standalone
      $ BDEMO_TOPIC_REPLICATION=3 bdemo migrate --standalone --no-tables
    """
    from backend_demo.stack.state.secrets import KAFKA_ADMIN

    settings = options.settings(state_dir=state_dir) if standalone else options.attached(state_dir, kafka=KAFKA_ADMIN)
    created = None
    if topics:
        from backend_demo.adapters.kafka import Brokers
        from backend_demo.stack.services.kafka_topics import create_topics

        newest = partial(_newest_reading, settings.postgres_dsn)
        created = list(create_topics(Brokers.of(settings), replication=settings.topic_replication, newest=newest))
        render.say(f"created topics: {', '.join(created)}" if created else "no topic is missing")
    if tables:
        from backend_demo.storage.migrate import upgrade
        from backend_demo.storage.retention import set_policy

        upgrade(settings.postgres_dsn)
        set_policy(settings.postgres_dsn, settings.retention)
        render.say("the tables are up to date")
    # people have seen each step when it was done
    render.show(Document(created_topics=created, migrated_tables=tables), output, lambda _: ())


async def _newest_reading(dsn: str) -> float | None:
    from backend_demo.adapters import postgres
    from backend_demo.storage.latest import newest_time

    try:
        connection = await postgres.connect(dsn, timeout_s=5.0)
    except postgres.FAILURES as problem:
        render.say(f"PostgreSQL was not asked for readings that it has, on which averages depend: {problem}")
        return None
    try:
        return await newest_time(connection)
    finally:
        await connection.close()
