"""Whether new readings arrive in the tables in time: the end of what a fault has held up."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from backend_demo.adapters import postgres

#: Age that the newest average of a sensor may have when nothing is held up, seconds.
FRESH_S = 2.0
#: Readings of a sensor that may be missing or refused on purpose, one after the other.
REFUSED = 3
LIMIT_S = 2.0

# the sensor that is furthest behind: each partition holds up its own sensors
_OLDEST = """
select min(coalesce((select max(timestamp) from average where sensor_num = sensor), 0))
from generate_series($1::bigint, $2::bigint) sensor
"""


@dataclass(frozen=True)
class Freshness:
    """Looks at the averages of sensors that publish at a steady rate."""

    dsn: str
    sensors: range
    rate: float
    """Readings per second and sensor."""

    def __call__(self) -> bool:
        """Whether every sensor's newest average is fresh. False as well when PostgreSQL does not answer in time."""
        try:
            newest = asyncio.run(self._oldest())
        except postgres.FAILURES:
            return False
        return time.time() - newest <= FRESH_S + REFUSED / self.rate

    async def _oldest(self) -> float:
        async with asyncio.timeout(LIMIT_S):
            connection = await postgres.connect(self.dsn, application="bdemo chaos", timeout_s=LIMIT_S)
            try:
                return float(await connection.fetchval(_OLDEST, self.sensors[0], self.sensors[-1]))
            finally:
                await connection.close(timeout=LIMIT_S)
