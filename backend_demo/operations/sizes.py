"""How large the tables and topics are, how much the tables grow in a day, and when the disk is full."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from backend_demo.domain.topics import TOPICS
from backend_demo.errors import ServiceFailed

#: Limit for what PostgreSQL is asked, seconds.
LIMIT_S = 20.0

# What the whole hours of the last day came to, by their summaries. The rows in a table are PostgreSQL's estimate.
_TABLES = """
with day as (
  select name, 24 * rows / hours as rows_a_day from (
    select 'temperature' as name, sum(count)::float8 as rows, count(distinct hour) as hours from temperature_hour
    where hour >= extract(epoch from now()) - 90000
    union all
    select 'average', sum(count)::float8, count(distinct hour) from average_hour
    where hour >= extract(epoch from now()) - 90000
  ) hours where hours > 0
)
select relname, pg_total_relation_size(pg_class.oid), greatest(reltuples, 0)::bigint,
  (rows_a_day * pg_total_relation_size(pg_class.oid) / nullif(greatest(reltuples, 0), 0))::float8
from pg_class left join day on name = relname
where relkind = 'r' and relnamespace = 'public'::regnamespace order by 2 desc, 1
"""


@dataclass(frozen=True)
class TableSize:
    """A table with its indexes."""

    name: str
    bytes: int
    rows: int
    """About; PostgreSQL counts now and then."""
    bytes_a_day: float | None
    """By the whole hours of the last day; null without them, and for tables that hardly grow."""


@dataclass(frozen=True)
class TopicSize:
    """A topic with all its partitions."""

    name: str
    bytes: int


@dataclass(frozen=True)
class StackSizes:
    """What takes room, and how long there is any."""

    tables: tuple[TableSize, ...]
    topics: tuple[TopicSize, ...] | None
    """Null where the files are not on this machine's disk: in containers."""
    bytes_a_day: float | None
    """How much the tables grow."""
    free_bytes: int
    """On the disk of the state directory."""
    days_until_full: float | None
    """At this growth; without the setting `retention`, nothing else ends it."""


def sizes(dsn: str, state: Path) -> StackSizes:
    """Measures a running stack. Raises ServiceFailed."""
    # `status` has no time for these
    import asyncio

    from backend_demo.adapters.postgres import FAILURES

    try:
        tables = asyncio.run(_tables(dsn))
    except FAILURES as problem:
        raise ServiceFailed(
            f"PostgreSQL cannot be read: {problem or type(problem).__name__}", hint="see: bdemo status"
        ) from problem
    growths = [table.bytes_a_day for table in tables if table.bytes_a_day is not None]
    growth, free = sum(growths) if growths else None, shutil.disk_usage(state).free
    return StackSizes(tables, _topics(state), growth, free, free / growth if growth else None)


async def _tables(dsn: str) -> tuple[TableSize, ...]:
    from backend_demo.adapters.postgres import connect

    connection = await connect(dsn, application="bdemo status", command_timeout_s=LIMIT_S)
    try:
        return tuple(TableSize(*row) for row in await connection.fetch(_TABLES))
    finally:
        await connection.close()


def _topics(state: Path) -> tuple[TopicSize, ...] | None:
    """By the files in the state directory."""
    found = {topic: list(state.glob(f"*/data/{topic}-[0-9]*/*.log")) for topic in TOPICS}
    if not any(found.values()):
        return None
    # blocks, not lengths: Kafka reserves room for an index that it does not use yet
    return tuple(TopicSize(topic, sum(file.stat().st_blocks * 512 for file in files)) for topic, files in found.items())
