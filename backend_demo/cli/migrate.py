"""`bdemo migrate`: makes the missing topics and brings the tables to this version."""

from __future__ import annotations

from typing import Annotated

import typer

from backend_demo.cli import options
from backend_demo.cli.output import say


def migrate(
    state_dir: options.StateDir = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Use the addresses of the settings, not a running stack's.")
    ] = False,
    topics: Annotated[bool, typer.Option("--topics/--no-topics", help="Make the missing Kafka topics.")] = True,
    tables: Annotated[bool, typer.Option("--tables/--no-tables", help="Migrate the PostgreSQL tables.")] = True,
) -> None:
    """Make missing topics, migrate the tables; drops nothing.

    `bdemo up` does this by itself: it is for servers of your own.

    \b
    Examples:
      $ BDEMO_KAFKA_BOOTSTRAP=kafka:9092 BDEMO_POSTGRES_DSN=postgresql://me@db/temperature bdemo migrate --standalone
      $ BDEMO_TOPIC_REPLICATION=3 bdemo migrate --standalone --no-tables
    """
    settings = options.settings(state_dir=state_dir) if standalone else options.attached(state_dir)
    if topics:
        from backend_demo.stack.servers.kafka import create_topics

        made = create_topics(settings.kafka_bootstrap, replication=settings.topic_replication)
        say(f"topics made: {', '.join(made)}" if made else "all topics are there")
    if tables:
        from backend_demo.storage.migrate import upgrade

        upgrade(settings.postgres_dsn)
        say("the tables are of this version")
