"""Carries out a plan: starts the stack it needs and makes the runs one after the other, in turn with stock Faust."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.cli import loop
from backend_demo.cli.bench.plan import BenchPlan
from backend_demo.cli.progress import StartProgress
from backend_demo.cli.render import say
from backend_demo.errors import ServiceFailed, UsageError
from backend_demo.operations.bench import stock
from backend_demo.operations.bench.drain import DrainRun, drain
from backend_demo.operations.bench.latency import LatencyRun, latency
from backend_demo.operations.bench.mqtt import MqttRun, mqtt
from backend_demo.operations.bench.pipeline import STAGES, Pipeline
from backend_demo.operations.bench.readings import SENSORS_MAX, DrainLoad
from backend_demo.simulator.fleet import ITEM_MAX
from backend_demo.stack.open import open_stack
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.stack.base import Stack

#: Readings of a drain that does not count: a fresh broker is up to four times as slow, until its code is compiled.
WARM_BROKER = 200_000
#: Stock Faust is some thirty times as slow: it gets a tenth of the readings, but enough that its start hardly counts.
STOCK_SHARE, STOCK_LEAST = 10, 20_000
#: First sensor number, above those of `bdemo simulate`.
FIRST_SENSOR = 1_000_000


@dataclass(frozen=True)
class BenchReport:
    """All runs, in the order they were made."""

    plan: BenchPlan
    drains: list[DrainRun] = field(default_factory=list)
    stock_drains: list[DrainRun] = field(default_factory=list)
    mqtts: list[MqttRun] = field(default_factory=list)
    latencies: dict[float, list[LatencyRun]] = field(default_factory=dict)
    """By rate."""


def measure(plan: BenchPlan, settings: Settings) -> BenchReport:
    """Makes all runs. Raises VerificationFailed when one was not exact, and what stacks and services raise."""
    longest = settings.max_payload_bytes // (ITEM_MAX + 1)
    if plan.batch > longest:
        raise UsageError(f"--batch is {plan.batch}", hint=f"one message holds at most {longest} readings")
    with _running_stack(settings) if plan.running else _temporary_stack(plan, settings) as (attached, stack):
        report = BenchReport(plan)
        bench = _Bench(plan, attached, stack, report)
        if not plan.running:
            bench.warm_broker()
        for part in plan.parts:
            for number in range(plan.repeat):
                getattr(bench, part)(number)
    return report


@contextlib.contextmanager
def _temporary_stack(plan: BenchPlan, settings: Settings) -> Iterator[tuple[Settings, Stack]]:
    services = [*STAGES, *(["mqtt"] if "mqtt" in plan.parts else [])]
    with tempfile.TemporaryDirectory(prefix="bdemo-bench-") as folder:
        base = settings.model_copy(update={"state_dir": Path(folder) / "state"})
        stack = open_stack(base, any_port=True)
        say(f"using a temporary stack in {base.state_dir}, removed afterwards")
        try:
            with StartProgress() as progress:
                stack.up(services, progress.report)
            yield StateDirectory(base.state_dir).attached(base, kafka=KAFKA_ADMIN), stack
        finally:
            stack.down(wipe=True)


@contextlib.contextmanager
def _running_stack(settings: Settings) -> Iterator[tuple[Settings, Stack]]:
    attached = StateDirectory(settings.state_dir).attached(settings, kafka=KAFKA_ADMIN)
    try:
        yield attached, open_stack(attached)
    except BaseException:
        say("the bench ended early: rows of its sensors (numbers above 10^15) are left in temperature and average")
        raise


class _Bench:
    """The runs, on one stack."""

    def __init__(self, plan: BenchPlan, settings: Settings, stack: Stack, report: BenchReport) -> None:
        self._plan, self._settings, self._stack, self._report = plan, settings, stack, report
        self._numbers = itertools.count(FIRST_SENSOR, SENSORS_MAX)

    def warm_broker(self) -> None:
        """Makes a drain that does not count."""
        say("warming up Kafka")
        load = DrainLoad(readings=min(WARM_BROKER, self._plan.load.readings), sensors=self._plan.load.sensors)
        self._drain_ours(load)

    def drain(self, number: int) -> None:
        """Makes one drain, with stock Faust's before or after it."""
        turns = [self._drain, *([self._drain_stock] if self._plan.against else [])]
        for turn in turns if number % 2 == 0 else turns[::-1]:
            turn(number)

    def mqtt(self, number: int) -> None:
        """Makes one run from publish to row."""
        self._say(f"mqtt, {self._plan.duration_s:g} s", number)
        plan = self._plan
        with self._steady() as pipeline:
            run = loop.run(mqtt(pipeline, plan.duration_s, plan.load.sensors, plan.batch, say))
        self._report.mqtts.append(run)
        say(f"  {run.readings_per_s:,.0f} readings/s")

    def latency(self, number: int) -> None:
        """Makes one run at each rate."""
        for rate in self._plan.rates:
            self._say(f"latency at {rate:g}/s, {self._plan.duration_s:g} s", number)
            with self._steady() as pipeline:
                run = loop.run(latency(pipeline, rate, self._plan.duration_s, self._first_sensor(), say))
            self._report.latencies.setdefault(rate, []).append(run)
            say(f"  p50 {run.average.p50_ms:.1f} ms, p99 {run.average.p99_ms:.1f} ms to the average")

    def _drain(self, number: int) -> None:
        self._say(f"drain of {self._plan.load.readings:,} readings", number)
        run = self._drain_ours(self._plan.load)
        self._report.drains.append(run)
        say(f"  {run.readings_per_s:,.0f} readings/s")

    def _drain_ours(self, load: DrainLoad) -> DrainRun:
        with self._steady() as pipeline:
            return loop.run(drain(pipeline, load, self._first_sensor(), say))

    def _drain_stock(self, number: int) -> None:
        readings = self._plan.load.readings
        load = replace(self._plan.load, readings=min(readings, max(STOCK_LEAST, readings // STOCK_SHARE)))
        self._say(f"drain of {load.readings:,} readings on stock Faust", number)
        prefix = f"stock{number}"
        ours, _ = self._pids()
        pipeline = loop.run(stock.prepare(self._pipeline(*self._pids()), prefix))
        for service in ours:
            self._stack.stop(service)
        try:
            with stock.running(pipeline, prefix, self._settings.state_dir.parent / prefix) as stages:
                run = loop.run(drain(replace(pipeline, stages=stages), load, FIRST_SENSOR, say))
        finally:
            for service in ours:
                self._stack.start(service)
        self._report.stock_drains.append(run)
        say(f"  {run.readings_per_s:,.0f} readings/s")

    @contextlib.contextmanager
    def _steady(self) -> Iterator[Pipeline]:
        """Our pipeline. Raises ServiceFailed when it is not running, or was restarted meanwhile."""
        before = self._pids()
        yield self._pipeline(*before)
        if self._pids() != before:
            raise ServiceFailed("a service was restarted during the run", hint="see: bdemo status, bdemo logs")

    def _pids(self) -> tuple[dict[str, int], dict[str, int]]:
        """Pids of the stages, and of the other services that are measured."""
        found = {service.name: service for service in self._stack.status()}
        for name in STAGES:
            if found[name].state != "ready":
                raise ServiceFailed(f"{name} is {found[name].state}", hint="fix it with: bdemo up")
        pids = {name: service.pid for name, service in found.items() if service.pid is not None}
        return (
            {name: pids.pop(name) for name in STAGES},
            {name: pid for name, pid in pids.items() if name in ("kafka", "postgres", "mqtt")},
        )

    def _pipeline(self, stages: Mapping[str, int], others: Mapping[str, int]) -> Pipeline:
        return Pipeline("bdemo", self._settings, stages, others, shared=self._plan.running)

    def _first_sensor(self) -> int:
        """The first sensor of a run, none of which was ever used: on the running stack, the clock tells a number."""
        return time.time_ns() // 1000 if self._plan.running else next(self._numbers)

    def _say(self, what: str, number: int) -> None:
        say(f"{what}, run {number + 1} of {self._plan.repeat}" if self._plan.repeat > 1 else what)
