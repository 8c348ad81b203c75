"""The course of a chaos run: does each fault at its time, and notes when all was well again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from backend_demo.domain.fault import ServiceFault
from backend_demo.errors import BdemoError, ServiceFailed
from backend_demo.stack.faults import RECOVERY_LIMIT_S, FaultMaker, victims

#: Time between two looks at the stack, while it recovers, seconds.
LOOK_S = 0.4
#: How long a fault waits for a service that does not run yet, after a fault before, seconds.
WAIT_S = 30.0


@dataclass
class FaultRun:
    """What became of one fault. Times are seconds after the start."""

    fault: ServiceFault
    began_s: float | None = None
    ended_s: float | None = None
    recovered_s: float | None = None
    """Seconds after its end."""
    problem: str = ""
    """Why it could not be done."""
    over: bool = False
    """Nothing of it is left to do."""

    @property
    def waits(self) -> bool:
        """Whether it is over and the stack has not been seen well since."""
        return self.over and self.ended_s is not None and self.recovered_s is None


class Course:
    """One run of a plan. `is_well`: whether all services are ready and new readings arrive in time."""

    def __init__(
        self,
        faults: Sequence[ServiceFault],
        maker: FaultMaker,
        is_well: Callable[[], bool],
        report: Callable[[float, str], None],
        stop: threading.Event,
    ) -> None:
        self.runs = [FaultRun(fault) for fault in faults]
        self._maker = maker
        self._is_well = is_well
        self._report = report
        self._stop = stop
        self._began = time.monotonic()

    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def follow(self, duration_s: float, on_look: Callable[[], None]) -> None:
        """Returns after `duration_s`, when all faults are over and the stack has recovered or takes too long for it.

        Sooner when `stop` is set: every fault is ended then. `on_look` is called several times a second.
        """
        with ThreadPoolExecutor(len(self.runs)) as pool:
            futures = [pool.submit(self._do, run) for run in self.runs]
            try:
                while not self._finished(duration_s):
                    on_look()
                    if any(run.waits for run in self.runs):
                        self._look()
                    self._stop.wait(LOOK_S)
            finally:
                self._stop.set()
        for future in futures:
            future.result()

    def _finished(self, duration_s: float) -> bool:
        if self._stop.is_set():
            return True
        now_s = self.elapsed_s()
        if now_s < duration_s or not all(run.over for run in self.runs):
            return False
        return all(not run.waits or now_s - (run.ended_s or 0.0) > RECOVERY_LIMIT_S for run in self.runs)

    def _do(self, run: FaultRun) -> None:
        fault = run.fault
        if self._stop.wait(max(0.0, fault.at_s - self.elapsed_s())):
            return
        what = f"{fault.kind} {fault.target}" + (f", for {fault.for_s:g} s" if fault.for_s else "")
        try:
            copies = self._victims(fault.target)
            begins_s = self.elapsed_s()
            with self._maker.fault(fault.kind, copies, held=fault.for_s > 0):
                run.began_s = begins_s
                self._report(begins_s, what)
                self._stop.wait(fault.for_s)
                run.ended_s = self.elapsed_s()
            if fault.for_s:
                self._report(self.elapsed_s(), f"{fault.kind} {fault.target}: over")
        except BdemoError as problem:
            run.problem = problem.message
            self._report(self.elapsed_s(), f"{what}: not done: {problem.message}")
        finally:
            run.over = True

    def _victims(self, target: str) -> list[str]:
        """The copies that suffer the fault, as soon as they run. Raises what `victims` raises."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                return victims(self._maker, target)
            except ServiceFailed:
                if time.monotonic() > deadline or self._stop.wait(LOOK_S):
                    raise

    def _look(self) -> None:
        """Notes for the faults that were over before this look whether all was well."""
        waiting = [run for run in self.runs if run.waits]
        if not self._is_well():
            return
        now_s = self.elapsed_s()
        for run in waiting:
            run.recovered_s = now_s - (run.ended_s or 0.0)
            self._report(now_s, f"{run.fault.kind} {run.fault.target}: all well again after {run.recovered_s:.1f} s")
