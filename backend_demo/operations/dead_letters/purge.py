"""Deletes the oldest dead letters, with the marks that only they had."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers
from backend_demo.adapters.kafka_refusal import unreachable
from backend_demo.domain.letter_mark import first_needed, read_mark
from backend_demo.domain.topics import DEAD_LETTER, DEAD_LETTER_MARKS, Partition
from backend_demo.errors import ServiceFailed
from backend_demo.operations.dead_letters.letter_log import LetterLog

#: Time for all deletions, seconds.
DELETE_S = 30.0


async def older(letters: LetterLog, until: float | None) -> tuple[dict[Partition, int], int]:
    """Up to which offset dead letters would be deleted, and how many. `until`: epoch seconds; None: all of now."""
    begins, ends = await letters.limits()
    upto = ends if until is None else await letters.before(until)
    upto = {partition: offset for partition, offset in upto.items() if offset > begins[partition]}
    return upto, sum(offset - begins[partition] for partition, offset in upto.items())


async def delete(brokers: Brokers, letters: LetterLog, upto: Mapping[Partition, int]) -> None:
    """Deletes the dead letters before these offsets, then the marks of nothing that is left. Raises ServiceFailed."""
    await _delete(brokers, upto)
    begins, _ = await letters.limits()
    marks: dict[Partition, int] = {}
    for _, number in upto:
        found = await letters.marks_of(number)
        first = first_needed([(each.offset, read_mark(each.value)) for each in found], begins[DEAD_LETTER, number])
        if found:
            marks[DEAD_LETTER_MARKS, number] = found[-1].offset + 1 if first is None else first
    await _delete(brokers, marks)


async def _delete(brokers: Brokers, upto: Mapping[Partition, int]) -> None:
    if not upto:
        return
    try:
        async with kafka.admin(brokers, "bdemo-purge", limit_s=DELETE_S, request_timeout_s=DELETE_S) as admin:
            await admin.delete_records(
                {TopicPartition(*partition): RecordsToDelete(offset) for partition, offset in upto.items()}
            )
    except TopicAuthorizationFailedError as problem:
        raise ServiceFailed(
            f"Kafka does not let user {brokers.username!r} delete records: {type(problem).__name__}",
            hint=f"allow that user to delete records of {DEAD_LETTER} and {DEAD_LETTER_MARKS}",
        ) from problem
    except (KafkaError, OSError) as problem:
        raise await unreachable(brokers) from problem
