"""What a batch brings of a time that is no longer kept: it is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.loading import Averages, LoadPlan
from backend_demo.domain.reading import Reading, Rejected
from backend_demo.domain.record import Partitions, dead_letter, read
from backend_demo.domain.topics import PROCESSED_DATA


def kept(plan: LoadPlan, kept_from: float) -> LoadPlan:
    """The plan without readings and averages that are older."""
    readings = {key: value for key, value in plan.readings.items() if key[1] >= kept_from}
    averages = [
        Averages(
            {key: value for key, value in step.stored.items() if key[1] >= kept_from},
            [key for key in step.repairs if key[1] >= kept_from],
        )
        for step in plan.averages
    ]
    contested = {key: value for key, value in plan.contested.items() if key[1] >= kept_from}
    return replace(plan, readings=readings, averages=averages, contested=contested)


def too_old(processed: Partitions, kept_from: float) -> list[DeadLetter]:
    """The dead letters of records with readings that are older."""
    letters = []
    for partition, records in processed.items():
        for record in records:
            reading = read(record)
            if isinstance(reading, Reading) and reading.timestamp < kept_from:
                since = datetime.fromtimestamp(kept_from, UTC).isoformat().replace("+00:00", "Z")
                detail = f"{reading.timestamp:.15g} is before {since}: retention has dropped that time"
                rejected = Rejected("old", detail, record.value or b"")
                letters.append(dead_letter("loader", rejected, record, PROCESSED_DATA, partition))
    return letters
