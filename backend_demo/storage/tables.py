"""The tables as SQLAlchemy sees them; storage/migrations/ creates them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Double, Identity, Integer, MetaData, Table, Text

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
