"""The Faust application of a stage is what the code says, whatever the environment of the shell holds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from backend_demo.faust_batch.batch import Batch
from backend_demo.settings import Settings
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.stages.runtime.worker import Source, Worker


async def body(batches: Source) -> None:
    """Does nothing."""


def done(batch: Batch) -> None:
    """Counts nothing."""


@pytest.mark.parametrize(
    ("name", "value", "of"),
    [
        ("APP_VERSION", "1.4.2", lambda conf: conf.version),
        ("BROKER_URL", "kafka://192.0.2.1:1", lambda conf: [str(url) for url in conf.broker]),
        ("CONSUMER_AUTO_OFFSET_RESET", "latest", lambda conf: conf.consumer_auto_offset_reset),
        ("APP_DATADIR", "/nonexistent", lambda conf: str(conf.datadir)),
        ("PROCESSING_GUARANTEE", "exactly_once", lambda conf: conf.processing_guarantee.value),
    ],
)
def test_faust_takes_no_setting_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, of: Any
) -> None:
    async def found() -> Any:
        worker = Worker(Settings(state_dir=tmp_path), ServiceProcess(), "processing", consumes=("a",), produces=("b",))
        return of(worker._app(body, None, done).conf)

    expected = asyncio.run(found())
    monkeypatch.setenv(name, value)
    assert asyncio.run(found()) == expected
