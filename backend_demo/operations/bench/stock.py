"""Runs the same pipeline on stock Faust, for comparison: `benchmarks/stock/pipeline.py`, in its own processes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from aiokafka.admin import NewTopic

import backend_demo
from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.topics import PARTITIONS
from backend_demo.errors import PrerequisiteMissing
from backend_demo.operations.bench.pipeline import STAGES, Pipeline, connected

PROGRAM = Path(backend_demo.__file__).parents[1] / "benchmarks" / "stock" / "pipeline.py"
TOPICS = ("sensor-data", "src-data", "processed-data", "aggregated-data")
#: Time that a process has to end before it is killed, seconds.
END_S = 15.0


def check() -> None:
    """Raises PrerequisiteMissing when the program is not there: a wheel does not carry it."""
    if not PROGRAM.is_file():
        raise PrerequisiteMissing(
            "the pipeline on stock Faust is part of the repository, not of the installed package",
            hint="run bdemo bench --against stock from a clone",
        )


async def prepare(ours: Pipeline, prefix: str) -> Pipeline:
    """Creates topics and tables beside ours, on the same servers; starts no process yet."""
    async with kafka.admin(
        Brokers.of(ours.settings), "bdemo-bench", limit_s=kafka.REQUEST_TIMEOUT_S, request_timeout_s=20.0
    ) as admin:
        await admin.create_topics([NewTopic(f"{prefix}-{topic}", PARTITIONS, 1) for topic in TOPICS])
    async with connected(ours) as connection:
        await connection.execute(f'create schema "{prefix}"')
        for table in ("temperature", "average"):
            await connection.execute(f'create table "{prefix}".{table} (like public.{table} including all)')
    # `fence` does not change here: the tables' sizes show that rows arrive
    dsn = f"{ours.settings.postgres_dsn}?search_path={prefix},public"
    return Pipeline(
        name="stock Faust",
        settings=ours.settings.model_copy(update={"postgres_dsn": dsn}),
        stages={},
        others={name: pid for name, pid in ours.others.items() if name in ("kafka", "postgres")},
        shared=False,
        raw=f"{prefix}-{TOPICS[0]}",
        moved="select pg_relation_size('temperature') + pg_relation_size('average')",
    )


@contextlib.contextmanager
def running(pipeline: Pipeline, prefix: str, folder: Path) -> Iterator[dict[str, int]]:
    """Runs its four services inside the block. Their pids, by name; their logs are in `folder`."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    settings = pipeline.settings
    servers = json.dumps(
        {
            "bootstrap": settings.kafka_bootstrap,
            "username": settings.kafka_username,
            "password": settings.kafka_password,
            "dsn": settings.postgres_dsn,
        }
    ).encode()
    try:
        for stage in STAGES:
            command = [sys.executable, str(PROGRAM), stage, prefix, str(folder)]
            with open(folder / f"{stage}.log", "wb") as log:
                processes[stage] = subprocess.Popen(  # noqa: S603 - words, no shell
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
                )
            with cast(IO[bytes], processes[stage].stdin) as told:
                told.write(servers)
        yield {stage: process.pid for stage, process in processes.items()}
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
