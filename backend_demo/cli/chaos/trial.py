"""Carries out a chaos run: the load, the faults, and the comparison of all readings at the end."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.cli import loop, render
from backend_demo.cli.chaos.course import Course
from backend_demo.cli.chaos.live import shown
from backend_demo.cli.chaos.load import Load
from backend_demo.cli.chaos.result import ChaosResult, LoadFigures, fault_figures
from backend_demo.cli.signals import first_stops
from backend_demo.cli.verify import document
from backend_demo.domain.verdict import Expected, Verdict
from backend_demo.operations.chaos.freshness import Freshness
from backend_demo.operations.chaos.plan import random_plan
from backend_demo.operations.chaos.scenario import Scenario
from backend_demo.operations.verify import verify
from backend_demo.simulator import ledger as ledgers
from backend_demo.stack.faults import all_ready, ready_copies, victims
from backend_demo.stack.open import faults_in, stack_in
from backend_demo.stack.services.table import copy_of, with_needs

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.simulator.plan import Plan


class Trial:
    """A run on the stack of these settings. Raises NoStack; ServiceFailed when the stack is not well to begin with."""

    def __init__(self, settings: Settings, load: Plan, *, wait_s: float) -> None:
        """`wait_s`: how long the comparison waits for readings that are still on their way."""
        self._settings, self._load, self._wait_s = settings, load, wait_s
        self._maker, self._stack = faults_in(settings.state_dir), stack_in(settings.state_dir)
        self._ready = ready_copies(self._stack, self._maker)
        self._fresh = Freshness(
            settings.postgres_dsn, range(load.first_sensor, load.first_sensor + load.sensors), load.rate
        )

    def random_faults(self, seed: int, duration_s: float) -> Scenario:
        """Random faults of our services and of the servers that they need, copy by copy. Raises UsageError."""
        table = self._maker.table
        running = {name: copy_of(name, table)[0] for name in self._maker.running()}
        needed = with_needs([service.name for service in running.values() if service.ours], table=table)
        targets = [name for name, service in running.items() if service.name in needed]
        plan = random_plan(seed, duration_s, targets)
        again = f"--seed {seed} --for {duration_s:g}s"
        render.say_quickly(f"{len(plan)} {'fault' if len(plan) == 1 else 'faults'}; the same again: {again}")
        return Scenario("", "", duration_s, plan)

    def run(self, scenario: Scenario, seed: int | None, ledger: Path) -> tuple[ChaosResult, Verdict, int]:
        """Does the faults under load; what was found, the verdict, and the signal that has ended it early, or 0."""
        for fault in scenario.faults:
            victims(self._maker, fault.target)
        stop = threading.Event()
        with first_stops(stop) as received, shown(scenario.duration_s) as (report, on_progress):
            with Load(self._settings, self._load, ledger, on_progress) as load:
                course = Course(scenario.faults, self._maker, self._is_well, report, stop)
                course.follow(scenario.duration_s, load.check)
                seconds = course.elapsed_s()
            report(course.elapsed_s(), "comparing all readings and averages with what was sent")
        summary = load.summary()
        expected = Expected(ledgers.read(ledger))
        verdict = loop.run(verify(self._settings, expected, wait_s=self._wait_s, notify=render.say_quickly))
        found = ChaosResult(
            passed=verdict.passed,
            scenario=scenario.name or None,
            seed=seed,
            seconds=round(seconds, 2),
            interrupted=bool(received),
            load=LoadFigures(
                sensors=self._load.sensors,
                first_sensor=self._load.first_sensor,
                rate=self._load.rate,
                sent=summary.sent,
                acknowledged=summary.acknowledged,
                failed=summary.failed,
            ),
            faults=tuple(map(fault_figures, course.runs)),
            verdict=document(verdict),
        )
        return found, verdict, received[0] if received else 0

    def _is_well(self) -> bool:
        return all_ready(self._stack, self._ready) and self._fresh()


@contextlib.contextmanager
def kept_if_wrong(ledger: Path | None) -> Iterator[Path]:
    """The file for the ledger: that one, or a temporary one, which is deleted unless the block ends in an error."""
    if ledger is not None:
        yield ledger
        return
    folder = Path(tempfile.mkdtemp(prefix="bdemo-chaos-"))
    file = folder / "ledger.jsonl"
    try:
        yield file
    except BaseException:
        if file.exists():
            render.say_quickly(f"the ledger of the readings is kept: {file}")
        else:
            folder.rmdir()
        raise
    shutil.rmtree(folder)
