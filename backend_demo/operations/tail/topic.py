"""Reads Kafka topics as `tail` reads files: the newest records, or those since a time; then new ones as they arrive."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from backend_demo.adapters.kafka import Brokers
from backend_demo.domain import topics
from backend_demo.domain.topics import Partition
from backend_demo.errors import UnknownName
from backend_demo.operations.kafka_log import KafkaLog, partitions_of
from backend_demo.operations.kafka_record import KafkaRecord, time_of
from backend_demo.operations.notify import Notify
from backend_demo.operations.tail.merge import Merge, RecordOrder

#: From this many records that arrived while the past was printed, these too are merged by time, not poll by poll.
CATCH_UP_RECORDS = 1000
#: Records of a partition searched for one sensor's, after which the user is notified of what takes so long.
LONG_SEARCH_RECORDS = 10_000
#: How long Kafka may be away while the past is read for `--exit`; up to 52 s were measured after a kill -9.
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Newest:
    """Begin with the newest `count` records, over all partitions of all topics together."""

    count: int


@dataclass(frozen=True)
class Since:
    """Begin with the first record produced at or after `timestamp`, epoch seconds; 0: with the oldest there is."""

    timestamp: float


async def tail(
    brokers: Brokers,
    names: Sequence[str],
    start: Newest | Since,
    *,
    follow: bool,
    wanted: Callable[[bytes], bool] | None = None,
    notify: Notify,
) -> AsyncGenerator[list[KafkaRecord], None]:
    """Batches of records of these topics (none named: the pipeline's), in the order of their time.

    Ends after the records that were there at the start; with `follow` it never ends, and yields an empty batch about
    once a second while nothing arrives. Joins no consumer group and commits nothing. `notify` receives what the user
    should know. `wanted`: whether records with this key are. Raises UnknownName, ServiceFailed.
    """
    chosen = _choose(names, await partitions_of(brokers), notify)
    order = RecordOrder(chosen)
    kept = _filter(wanted)
    partitions = [partition for group in chosen.values() for partition in group]
    async with KafkaLog(brokers, partitions, patience_s=None if follow else PATIENCE_S, notify=notify) as log:
        ends = await log.ends()
        if isinstance(start, Newest):
            yield await _newest(log, order, ends, start.count, kept, notify)
        else:
            async for batch in _merged(log, order, await log.starts(start.timestamp), ends):
                yield list(filter(kept, batch))
        while follow:
            before, ends = ends, await log.ends()
            if sum(ends.values()) - sum(before.values()) < CATCH_UP_RECORDS:
                log.seek(before)
                break
            async for batch in _merged(log, order, before, ends):
                yield list(filter(kept, batch))
        while follow:
            found = await log.poll()
            yield sorted((record for records in found.values() for record in records if kept(record)), key=order)


def _choose(
    names: Sequence[str], known: Mapping[str, Sequence[Partition]], notify: Notify
) -> dict[str, Sequence[Partition]]:
    """The partitions of the topics named, or else of the pipeline's that exist; in the order of the pipeline."""
    chosen = list(dict.fromkeys(names or (name for name in topics.PIPELINE if name in known)))
    if not chosen:
        raise UnknownName("topic", topics.PIPELINE[0], known)
    for name in chosen:
        if name not in known:
            raise UnknownName("topic", name, known)
    if not names and len(chosen) < len(topics.PIPELINE):
        notify(f"no such topics: {', '.join(name for name in topics.PIPELINE if name not in known)}")
    return {name: known[name] for name in sorted(chosen, key=_hop)}


def _hop(topic: str) -> int:
    return topics.PIPELINE.index(topic) if topic in topics.PIPELINE else len(topics.PIPELINE)


def _filter(wanted: Callable[[bytes], bool] | None) -> Callable[[KafkaRecord], bool]:
    """Whether a record's key is wanted: the number of a sensor, or on `sensor-data` an MQTT topic."""
    if wanted is None:
        return lambda record: True
    return lambda record: record.key is not None and wanted(record.key)


async def _merged(
    log: KafkaLog, order: RecordOrder, starts: Mapping[Partition, int], ends: Mapping[Partition, int]
) -> AsyncIterator[list[KafkaRecord]]:
    """What lies between these offsets, by time. Reads on only where the merge starves, so little is in memory."""
    log.seek(starts)
    merge = Merge(ends, order)
    while True:
        for partition in [partition for partition in merge.starved if log.positions[partition] >= ends[partition]]:
            merge.close(partition)
        if merge.starved:
            for partition, records in (await log.poll(merge.starved)).items():
                merge.feed(partition, (record for record in records if record.offset < ends[partition]))
        if batch := list(merge.ready()):
            yield batch
        if not merge.starved:
            return


async def _newest(
    log: KafkaLog,
    order: RecordOrder,
    ends: Mapping[Partition, int],
    count: int,
    wanted: Callable[[KafkaRecord], bool],
    notify: Notify,
) -> list[KafkaRecord]:
    """The newest `count` wanted records: looks further back until no older record can belong to them."""
    begins = await log.starts(0)
    span = count
    while True:
        starts = {partition: max(begins[partition], ends[partition] - span) for partition in ends}
        kept: deque[KafkaRecord] = deque(maxlen=count)
        oldest: dict[Partition, float] = {}
        async for batch in _merged(log, order, starts, ends):
            for record in batch:
                oldest.setdefault((record.topic, record.partition), time_of(record))
                if wanted(record):
                    kept.append(record)
        cut = [partition for partition in ends if starts[partition] > begins[partition]]
        # before this moment some partition may hold records that were not looked at
        complete_from = max((oldest.get(partition, float("inf")) for partition in cut), default=float("-inf"))
        if not count or (not cut) or (len(kept) == count and time_of(kept[0]) >= complete_from):
            return list(kept)
        if span < LONG_SEARCH_RECORDS <= span * 8:
            notify("looking further back for the records that were asked for")
        span *= 8
