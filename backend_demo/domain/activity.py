"""Which sensors still send: counts the active and the silent ones of a service's partitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: Silence after which a sensor is no longer counted, seconds.
FORGOTTEN_S = 3600.0


class Activity:
    """When each sensor was last heard. All times are epoch seconds."""

    def __init__(self, *, silent_s: float) -> None:
        self._silent_s = silent_s
        self._heard: dict[int, dict[int, float]] = {}
        """By partition and sensor."""

    def restore(self, newest: Mapping[int, Mapping[int, float]]) -> None:
        """Takes over these partitions, with the newest time of each sensor, and forgets all others."""
        self._heard = {partition: dict(sensors) for partition, sensors in newest.items()}

    def heard(self, partition: int, sensors: Iterable[int], now: float) -> None:
        """Notes that these sensors have sent something."""
        self._heard.setdefault(partition, {}).update(dict.fromkeys(sensors, now))

    def count(self, now: float) -> tuple[int, int]:
        """Returns how many sensors are active and how many are silent."""
        active = silent = 0
        for sensors in self._heard.values():
            for sensor in [sensor for sensor, at in sensors.items() if now - at > FORGOTTEN_S + self._silent_s]:
                del sensors[sensor]
            quiet = sum(now - at > self._silent_s for at in sensors.values())
            active, silent = active + len(sensors) - quiet, silent + quiet
        return active, silent
