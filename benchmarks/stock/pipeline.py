"""Our pipeline as plain Faust would have it, for `bdemo bench --against stock`: one service per process.

    python pipeline.py collection|processing|aggregation|loader PREFIX FOLDER

Addresses and passwords come by stdin, as JSON: `bootstrap`, `username`, `password` and `dsn`.
Written as its documentation suggests, and as fast as that gets: batches with `take_events`, all sends of a batch
awaited together, the averages' windows in a Table that is touched once per sensor and batch, rows inserted by `unnest`.
What is left out, in its favour: dead letters, late readings, exactness after a crash, metrics.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable

import asyncpg
import faust

STAGE, PREFIX, FOLDER = sys.argv[1:]
SERVERS = json.load(sys.stdin)
PARTITIONS, WINDOW, BATCH, WITHIN_S = 8, 10, 1000, 0.01

app = faust.App(
    f"{PREFIX}-{STAGE}",
    env={},
    broker=f"kafka://{SERVERS['bootstrap']}",
    broker_credentials=faust.SASLCredentials(
        username=SERVERS["username"], password=SERVERS["password"], mechanism="SCRAM-SHA-512"
    )
    if SERVERS["username"]
    else None,
    datadir=f"{FOLDER}/{STAGE}",
    key_serializer="raw",
    value_serializer="raw",
    topic_partitions=PARTITIONS,
    topic_replication_factor=1,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    producer_acks=-1,
    producer_linger_ms=5,
    broker_max_poll_records=BATCH,
    web_enabled=False,
)
raw, collected, processed, aggregated = (
    app.topic(f"{PREFIX}-{name}", partitions=PARTITIONS, key_type=bytes, value_type=bytes)
    for name in ("sensor-data", "src-data", "processed-data", "aggregated-data")
)


async def send(topic: faust.TopicT, records: Iterable[tuple[bytes, bytes]]) -> None:
    """Returns when all are acknowledged. The app's producer costs half of what `topic.send` does."""
    producer = await app.maybe_start_producer()
    await asyncio.gather(
        *[await producer.send(topic.get_topic_name(), key, value, None, None, None) for key, value in records]
    )


if STAGE == "collection":

    @app.agent(raw)
    async def collect(stream: faust.StreamT) -> None:
        async for events in stream.take_events(BATCH, within=WITHIN_S):
            records = []
            for event in events:
                sensor = int(event.key.split(b"/")[1])
                payload = json.loads(event.value)
                reading = {
                    "sensor": sensor,
                    "timestamp": float(payload["timestamp"]),
                    "value": float(payload["value"]),
                }
                records.append((b"%d" % sensor, json.dumps(reading).encode()))
            await send(collected, records)

elif STAGE == "processing":

    @app.agent(collected)
    async def process(stream: faust.StreamT) -> None:
        async for events in stream.take_events(BATCH, within=WITHIN_S):
            await send(
                processed,
                [(event.key, event.value) for event in events if -100 <= json.loads(event.value)["value"] <= 200],
            )

elif STAGE == "aggregation":
    # use_partitioner: within take_events there is no current event that would tell the changelog's partition
    windows = app.Table("windows", key_type=str, value_type=list, default=list, use_partitioner=True)

    @app.agent(processed)
    async def aggregate(stream: faust.StreamT) -> None:
        async for events in stream.take_events(BATCH, within=WITHIN_S):
            records, changed = [], {}
            for event in events:
                sensor, reading = event.key.decode(), json.loads(event.value)
                window = changed.get(sensor) or windows[sensor]
                window = changed[sensor] = [*window, reading["value"]][-WINDOW:]
                reading["value"] = round(sum(window) / len(window), 2)
                records.append((event.key, json.dumps(reading).encode()))
            for sensor, window in changed.items():
                windows[sensor] = window
            await send(aggregated, records)

else:

    async def insert(pool: asyncpg.Pool, table: str, values: list[bytes]) -> None:
        rows = [json.loads(value) for value in values]
        columns = [[row[name] for row in rows] for name in ("sensor", "timestamp", "value")]
        await pool.execute(
            f"insert into {table} (sensor_num, timestamp, value) "
            "select * from unnest($1::bigint[], $2::float8[], $3::float8[]) on conflict do nothing",
            *columns,
        )

    @app.agent(processed)
    async def load_readings(stream: faust.StreamT) -> None:
        async with asyncpg.create_pool(SERVERS["dsn"], min_size=1, max_size=1) as pool:
            async for values in stream.take(BATCH, within=WITHIN_S):
                await insert(pool, "temperature", values)

    @app.agent(aggregated)
    async def load_averages(stream: faust.StreamT) -> None:
        async with asyncpg.create_pool(SERVERS["dsn"], min_size=1, max_size=1) as pool:
            async for values in stream.take(BATCH, within=WITHIN_S):
                await insert(pool, "average", values)


if __name__ == "__main__":
    sys.argv[1:] = []
    faust.Worker(app, loglevel="warn").execute_from_commandline()
