"""The table `sensor`: the names of sensors, each with the number that stands for it in all other tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend_demo.domain.sensor_name import SensorName


async def insert_names(connection: Any, names: Sequence[tuple[SensorName, float]]) -> list[tuple[SensorName, str]]:
    """Stores these names with the time at which each was first met (epoch seconds); known ones stay as they are.

    Returns the names whose number belongs to another name, with that one.
    """
    columns = [name.sensor for name, _ in names], [name.name for name, _ in names]
    await connection.execute(
        """
        insert into sensor (sensor_num, name, first_seen)
        select number, name, to_timestamp(seen) from unnest($1::bigint[], $2::text[], $3::float8[])
          as new(number, name, seen)
        on conflict do nothing
        """,
        *columns,
        [first_seen for _, first_seen in names],
    )
    rows = await connection.fetch(
        """
        select new.number, new.name, sensor.name from unnest($1::bigint[], $2::text[]) as new(number, name)
        join sensor on sensor.sensor_num = new.number where sensor.name <> new.name
        """,
        *columns,
    )
    return [(SensorName(row[0], row[1]), row[2]) for row in rows]


async def names_page(connection: Any, after: int, limit: int) -> tuple[list[SensorName], bool]:
    """The names of the sensors above the number `after`, by number, at most `limit`; and whether there are more."""
    rows = await connection.fetch(
        "select sensor_num, name from sensor where sensor_num > $1 order by sensor_num limit $2", after, limit + 1
    )
    return [SensorName(*row) for row in rows[:limit]], len(rows) > limit
