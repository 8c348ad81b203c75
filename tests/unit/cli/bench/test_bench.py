"""`bdemo bench`: what it refuses, and the result that it makes of its runs."""

import json
from typing import Any

import pytest

from backend_demo.cli.bench import run
from backend_demo.cli.bench.command import bench
from backend_demo.cli.bench.plan import BenchPlan
from backend_demo.cli.bench.result import BenchResult, result
from backend_demo.cli.bench.run import BenchReport
from backend_demo.cli.bench.tables import view
from backend_demo.cli.render import show
from backend_demo.errors import PrerequisiteMissing, UsageError
from backend_demo.operations.bench import stock
from backend_demo.operations.bench.drain import DrainRun
from backend_demo.operations.bench.figures import Cost, Spread
from backend_demo.operations.bench.latency import LatencyRun
from backend_demo.operations.bench.mqtt import MqttRun
from backend_demo.operations.bench.readings import DrainLoad
from tests.support.schemas import check

ALL = ("drain", "mqtt", "latency")
COSTS = (
    Cost("kafka", 2.0, 0.004, 0.4, 300.0),
    Cost("mqtt", 1.0, 0.002, 0.2, 70.0),
    Cost("loader", 1.5, 0.003, 0.3, 99.0),
)


def drained(rate: float) -> DrainRun:
    return DrainRun(1000, 1000 / rate, rate, 0.1, 0.5, 0.05, COSTS)


@pytest.fixture
def report() -> BenchReport:
    latency = LatencyRun(50, 1000, Spread(2, 8, 9), Spread(3, 9, 12), 0.3, 0.4, 0.05, COSTS)
    return BenchReport(
        BenchPlan(ALL, DrainLoad(readings=1000), repeat=3, against="stock"),
        drains=[drained(rate) for rate in (900, 1000, 1200)],
        stock_drains=[drained(rate) for rate in (30, 25, 20)],
        mqtts=[MqttRun(1, 1000, 500, 700, 0.05, COSTS)],
        latencies={50: [latency]},
    )


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"rates": (0.5,)}, "rate is 0.5"),
        ({"rates": (float("nan"),)}, "rate is nan"),
        ({"repeat": 0}, "repeat is 0"),
        ({"duration_s": 1.0}, "duration is 1 s"),
        ({"batch": 0}, "batch is 0"),
        ({"running": True}, "mqtt cannot be combined with --running"),
        ({"against": "stock", "parts": ("latency",)}, "--against compares drains"),
        ({"against": "stock", "parts": ("drain",), "running": True}, "--against cannot be combined with --running"),
        ({"against": "stock", "load": DrainLoad(late=0.1)}, "--against cannot be combined with --late"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(plan: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        BenchPlan(**{"parts": ALL, "load": DrainLoad(), **plan})  # type: ignore[arg-type]


def test_stock_faust_is_in_the_repository_only(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    stock.check()
    monkeypatch.setattr(stock, "PROGRAM", stock.PROGRAM / "none")
    with pytest.raises(PrerequisiteMissing):
        BenchPlan(ALL, DrainLoad(), against="stock")


def test_without_parts_all_are_measured_but_mqtt_on_a_running_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[BenchPlan] = []

    def measure(plan: BenchPlan, settings: object) -> BenchReport:
        plans.append(plan)
        raise KeyError

    monkeypatch.setattr(run, "measure", measure)
    for running in (False, True):
        with pytest.raises(KeyError):
            bench(rate=None, running=running)
    assert [plan.parts for plan in plans] == [ALL, ("drain", "latency")]
    assert plans[0].rates == (50.0, 1000.0)


def as_json(found: BenchResult, capsys: pytest.CaptureFixture[str]) -> Any:
    show(found, "json", view)
    return check(json.loads(capsys.readouterr().out))


def test_as_json(report: BenchReport, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(result(report, 2), capsys)
    assert found["schema"] == "bdemo.bench/1"
    assert (found["exact"], found["stack"], found["repeat"]) == (True, "temporary", 3)
    assert found["drain"]["readings_per_s"] == 1000
    assert found["drain"]["runs"] == [900, 1000, 1200]
    assert found["drain"]["ratio"] == 40
    assert found["drain"]["against"]["readings_per_s"] == 25
    assert found["drain"]["cpu_us_per_reading"] == 3  # the loader alone: Kafka and the proxy are no stages
    assert found["mqtt"]["cpu_us_per_reading"] == 5
    assert found["latency"][0]["average"] == {"p50_ms": 3, "p99_ms": 9, "max_ms": 12}
    parts = [service["part"] for service in found["services"]]
    assert list(dict.fromkeys(parts)) == ["drain", "drain, stock", "mqtt", "latency 50/s"]
    assert found["services"][0]["service"] == "kafka"


def test_what_was_not_measured_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    report = BenchReport(BenchPlan(("drain",), DrainLoad()), drains=[drained(1000)])
    found = as_json(result(report, 2), capsys)
    assert (found["mqtt"], found["latency"], found["drain"]["ratio"]) == (None, [], None)


def test_as_tables(report: BenchReport, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    show(result(report, 2), "table", view)
    shown = capsys.readouterr().out
    for text in ("900, 1,200", "40 times stock Faust", "12.0", "Latency", "MQTT", "0.0030", "99 MB"):
        assert text in shown
