"""What a bench measures, and which choices do not go together."""

from __future__ import annotations

from dataclasses import dataclass

from backend_demo.errors import UsageError
from backend_demo.operations.bench import stock
from backend_demo.operations.bench.latency import RATE_MAX
from backend_demo.operations.bench.readings import DrainLoad

REPEAT_MAX = 100
DURATION_MIN_S, DURATION_MAX_S = 3.0, 3600.0


@dataclass(frozen=True)
class BenchPlan:
    """What to measure. Raises UsageError, PrerequisiteMissing."""

    parts: tuple[str, ...]
    load: DrainLoad
    batch: int = 1
    rates: tuple[float, ...] = (50.0, 1000.0)
    duration_s: float = 20.0
    repeat: int = 1
    against: str | None = None
    running: bool = False

    def __post_init__(self) -> None:
        for rate in self.rates:
            if not 1 <= rate <= RATE_MAX:
                raise UsageError(f"--rate is {rate:g}", hint=f"choose from 1 to {RATE_MAX:,.0f} readings per second")
        if not 1 <= self.repeat <= REPEAT_MAX:
            raise UsageError(f"--repeat is {self.repeat}", hint=f"choose from 1 to {REPEAT_MAX}")
        if not DURATION_MIN_S <= self.duration_s <= DURATION_MAX_S:
            raise UsageError(f"--duration is {self.duration_s:g} s", hint="choose from 3s to 1h")
        if self.batch < 1:
            raise UsageError(f"--batch is {self.batch}", hint="choose at least 1")
        if self.running and "mqtt" in self.parts:
            raise UsageError(
                "mqtt cannot be combined with --running: the simulator's sensors 1, 2, ... may be yours",
                hint="leave out --running, or name drain or latency",
            )
        self._check_against()

    def _check_against(self) -> None:
        if self.against is None:
            return
        if "drain" not in self.parts:
            raise UsageError("--against compares drains, and none is measured", hint="add drain")
        if self.running:
            raise UsageError(
                "--against cannot be combined with --running: it stops services", hint="leave out --running"
            )
        if self.load.late:
            raise UsageError(
                "--against cannot be combined with --late: stock Faust averages late readings wrong",
                hint="leave out --late",
            )
        stock.check()
