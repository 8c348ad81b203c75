"""`bdemo simulate` and `bdemo verify` on the real stack: nothing is wrong, until somebody tampers with the tables."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend_demo.domain.reading import Reading
from backend_demo.settings import Settings
from backend_demo.simulator import ledger as ledgers
from backend_demo.simulator.ledger import Ledger
from tests.support.sensors import Publisher, new_sensor
from tests.support.shell import Shell


@pytest.fixture(scope="module")
def ledger(running: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of 2000 readings, with all faults in the data, that are in the tables already."""
    path = tmp_path_factory.mktemp("ledger") / "run.jsonl"
    bdemo = Shell(running[0].state_dir)
    faults = ("--drop", "0.1", "--duplicate", "0.1", "--late", "0.2", "--corrupt", "0.1")
    summary = json.loads(
        bdemo(
            *("simulate", "--sensors", "7", "--rate", "100", "--count", "2000", "--model", "random-walk", "-o", "json"),
            *faults,
            *("--ledger", str(path)),
        ).stdout
    )
    assert summary["failed"] == 0
    bdemo("verify", "--ledger", str(path))
    return path


def verdict(bdemo: Any, *words: str, code: int = 0) -> dict[str, Any]:
    return dict(json.loads(bdemo("verify", *words, "-o", "json", code=code).stdout))


def wrong(found: dict[str, Any]) -> dict[str, int]:
    return {name: value["count"] for name, value in found.items() if isinstance(value, dict) and value.get("count")}


def test_nothing_is_wrong(bdemo: Any, ledger: Path) -> None:
    readings = {(entry.sensor, entry.timestamp) for entry in ledgers.read(ledger)}
    found = verdict(bdemo, "--ledger", str(ledger))
    assert found["schema"] == "bdemo.verify/1"
    assert found["passed"]
    assert found["ledger"] == found["acked"] == len(readings)
    assert found["readings"] == found["averages"] >= len(readings)
    assert verdict(bdemo)["passed"]
    (line,) = bdemo("verify", "--ledger", str(ledger)).stdout.splitlines()
    assert line.startswith(f"nothing is wrong: {len(readings):,} of {len(readings):,} readings acknowledged")
    assert "wrong averages" in bdemo("verify", "--ledger", str(ledger), "-v").stdout


@pytest.fixture
def tamper(sql: Any, ledger: Path) -> Iterator[Any]:
    """Changes the middle reading of sensor 3, for the length of a test."""
    times = sorted({entry.timestamp for entry in ledgers.read(ledger) if entry.sensor == 3})
    middle = times[len(times) // 2]
    tables = ("temperature", "average")
    before = {
        table: sql(f"select value from {table} where sensor_num = 3 and timestamp = $1", middle) for table in tables
    }
    yield lambda statement: sql(f"{statement} where sensor_num = 3 and timestamp = $1", middle)
    for table, rows in before.items():
        sql(f"delete from {table} where sensor_num = 3 and timestamp = $1", middle)
        sql(f"insert into {table} (sensor_num, timestamp, value) values (3, $1, $2)", middle, rows[0][0])


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("delete from temperature", "lost"),
        ("update temperature set value = value + 50", "altered"),
        ("delete from average", "average_missing"),
        ("update average set value = value + 0.02", "average_wrong"),
    ],
)
def test_what_is_wrong_is_found(bdemo: Any, ledger: Path, tamper: Any, statement: str, finding: str) -> None:
    tamper(statement)
    found = verdict(bdemo, "--ledger", str(ledger), "--wait", "3s", code=8)
    assert not found["passed"]
    assert wrong(found)[finding] == 1
    assert found[finding]["examples"][0]["sensor"] == 3
    assert found[finding]["sensors"] == {"3": 1}
    if finding == "lost":
        assert found["last_seen"] == {"processed-data": 1, "": 0}
    said = bdemo("verify", "--ledger", str(ledger), "--wait", "3s", code=8).stderr.splitlines()[-2]
    assert said.startswith(f"error: 1 {'average' if finding in ('average_wrong', 'average_orphaned') else 'reading'} ")
    assert set(wrong(verdict(bdemo, "--wait", "3s", code=8))) == {name for name in wrong(found) if "average" in name}


def test_a_row_that_nobody_sent_is_found(bdemo: Any, sql: Any, ledger: Path) -> None:
    first = min(entry.timestamp for entry in ledgers.read(ledger) if entry.sensor == 3)
    sql("insert into temperature (sensor_num, timestamp, value) values (3, $1, 25)", first + 0.000001)
    try:
        found = verdict(bdemo, "--ledger", str(ledger), "--wait", "3s", code=8)
    finally:
        sql("delete from temperature where sensor_num = 3 and timestamp = $1", first + 0.000001)
    assert wrong(found)["invented"] == 1


def test_an_acknowledged_reading_that_was_refused_is_not_lost(bdemo: Any, settings: Settings, tmp_path: Path) -> None:
    sensor, now = new_sensor(), round(time.time(), 3)
    good, bad = Reading(sensor, now - 1, 21.5), Reading(sensor, now, 500.0)
    with Publisher(settings) as publisher:
        for reading in (good, bad):
            publisher.reading(sensor, reading.timestamp, reading.value)
        publisher.settle()
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.write("acked", [good, bad])
    found = verdict(bdemo, "--ledger", str(path))
    assert (found["passed"], found["readings"], found["dead_letters"]) == (True, 1, 1)


def test_readings_of_others_for_the_same_sensors_are_counted_apart(
    bdemo: Any, settings: Settings, ledger: Path
) -> None:
    """As those of `bdemo trace`, or of a second simulation."""
    first = min(entry.timestamp for entry in ledgers.read(ledger) if entry.sensor == 3)
    with Publisher(settings) as publisher:
        publisher.reading(3, first + 0.000002, 22.0)
        publisher.settle()
    found = verdict(bdemo, "--ledger", str(ledger))
    assert (found["passed"], found["of_others"]) == (True, 1)
    assert "; 1 of others not judged" in bdemo("verify", "--ledger", str(ledger)).stdout
