"""The tables as SQLAlchemy sees them; storage/migrations/ creates them."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    Integer,
    MetaData,
    Table,
    Text,
    func,
)

metadata = MetaData()


def _readings(name: str) -> Table:
    """One row per reading: sensor and time (epoch seconds, whole microseconds) identify it."""
    return Table(
        name,
        metadata,
        Column("id", BigInteger, Identity(always=True), nullable=False),
        Column("sensor_num", BigInteger, primary_key=True, autoincrement=False),
        Column("timestamp", Double, primary_key=True),
        Column("value", Double, nullable=False),
    )


temperature = _readings("temperature")
"""Readings, in degrees Celsius."""

average = _readings("average")
"""For each reading, the mean of its sensor's newest ones up to it, rounded to 2 decimals."""

sensor = Table(
    "sensor",
    metadata,
    Column("sensor_num", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("first_seen", DateTime(timezone=True), nullable=False),
)
"""The sensors that have a name."""

fence = Table(
    "fence",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("topic_id", Text, nullable=False, server_default=""),
)
"""How far each partition is loaded: moved in the transaction that inserts the rows, by compare-and-set."""


def _hours(series: str) -> Table:
    """One row per sensor and hour, for ever: what the hour's rows come to when they are counted and summed in order."""
    return Table(
        f"{series}_hour",
        metadata,
        Column("sensor_num", BigInteger, primary_key=True, autoincrement=False),
        Column("hour", Double, primary_key=True),
        Column("count", BigInteger, nullable=False),
        Column("sum", Double),
        Column("min", Double, nullable=False),
        Column("max", Double, nullable=False),
        Column("first", Double, nullable=False),
        Column("last", Double, nullable=False),
    )


temperature_hour = _hours("temperature")
"""Hours (their begin, epoch seconds, UTC) of readings; `sum` is null where it might be beyond what a float holds."""

average_hour = _hours("average")
"""Hours of averages."""

stale_hour = Table(
    "stale_hour",
    metadata,
    Column("series", Text, nullable=False),
    Column("hour", Double, nullable=False),
    Column("sensors", ARRAY(BigInteger), nullable=False),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""Hours whose row is missing or no longer right: added in the transaction of the rows, removed with the new row."""

retention = Table(
    "retention",
    metadata,
    Column("single", Boolean, primary_key=True, server_default="true"),
    Column("keep_s", Double),
    Column("kept_from", Double, nullable=False, server_default="-infinity"),
    Column("dropped_to", Double, nullable=False, server_default="-infinity"),
    Column("readings", BigInteger, nullable=False, server_default="0"),
    Column("averages", BigInteger, nullable=False, server_default="0"),
)
"""One row: how long rows are kept (null: for ever), from when on they are taken, and what was dropped so far."""
