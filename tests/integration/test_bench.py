"""`bdemo bench` on the suite's stack and on one of its own: exact figures, nothing left behind, nothing let pass."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: Sensors of a bench on a running stack are numbered by the clock.
BENCH = 10**15

FAULTS = ("--sensors", "20", "--late", "0.05", "--refused", "0.02", "--skew")


@pytest.fixture
def rows(sql: Any) -> Any:
    """Rows of both tables, of the bench's sensors or of all others."""

    def count(*, bench: bool) -> int:
        sign = ">" if bench else "<="
        return sum(
            int(sql(f"select count(*) from {table} where sensor_num {sign} $1", BENCH)[0][0])
            for table in ("temperature", "average")
        )

    return count


def test_the_running_stack_is_measured_and_left_as_it_was(bdemo: Any, rows: Any) -> None:
    """Drain with every fault, and latency."""
    before = rows(bench=False)
    words = ("bench", "--running", "--readings", "5000", *FAULTS, "--rate", "100", "--duration", "3s", "-o", "json")
    found = json.loads(bdemo(*words, timeout_s=180).stdout)
    assert (found["schema"], found["exact"], found["stack"]) == ("bdemo.bench/1", True, "running")
    drain, (latency,) = found["drain"], found["latency"]
    assert drain["sent"] == 5000
    assert 4800 < drain["readings"] < 5000
    assert drain["readings_per_s"] > 100
    assert drain["cpu_us_per_reading"] > 1
    assert latency["readings"] == 300
    assert 0 < latency["temperature"]["p50_ms"] <= latency["temperature"]["p99_ms"] <= latency["temperature"]["max_ms"]
    assert found["mqtt"] is None
    services = {service["service"]: service for service in found["services"] if service["part"] == "drain"}
    assert {"kafka", "postgres", "collection", "processing", "aggregation", "loader"} <= set(services)
    assert services["loader"]["peak_rss_mb"] > 30
    assert rows(bench=True) == 0
    assert rows(bench=False) == before
    bdemo("verify")


@pytest.fixture
def spoiled(sql: Any) -> Iterator[None]:
    """A database that stores one average in a hundred wrong."""
    sql("""create function spoil() returns trigger language plpgsql as
        'begin if new.sensor_num > 1000000000000000 and random() < 0.01
         then new.value := new.value + 0.01; end if; return new; end'""")
    sql("create trigger spoil before insert on average for each row execute function spoil()")
    yield
    sql("drop function spoil cascade")
    for table in ("temperature", "average"):
        sql(f"delete from {table} where sensor_num > $1", BENCH)


@pytest.mark.usefixtures("spoiled")
def test_there_is_no_figure_when_an_average_is_wrong(bdemo: Any) -> None:
    done = bdemo("bench", "drain", "--running", "--readings", "3000", code=8, timeout_s=180)
    assert "average wrong" in done.stderr
    assert done.stdout == ""


def test_mqtt_and_stock_faust_on_a_stack_of_its_own() -> None:
    """Both pipelines in turn, and the simulator's readings: all exact; no file stays."""
    words = ("bench", "drain", "mqtt", "--readings", "2000", "--against", "stock", "--batch", "5", "--duration", "3s")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is too long a path for the servers' sockets
        done = subprocess.run(
            [sys.executable, "-m", "backend_demo", *words, "-o", "json"],
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
            env={**os.environ, "TMPDIR": folder},
        )
        assert done.returncode == 0, done.stderr
        assert list(Path(folder).iterdir()) == []
    found = json.loads(done.stdout)
    assert found["drain"]["against"]["readings"] == 2000
    assert found["drain"]["ratio"] > 1
    assert found["mqtt"]["batch"] == 5
    assert found["mqtt"]["readings"] >= 100
