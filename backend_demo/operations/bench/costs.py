"""Samples the CPU time and memory of services while they work."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import psutil

from backend_demo.operations.bench.figures import Cost, value_at

#: Time between samples, seconds.
INTERVAL_S = 0.2
#: Time between searches for PostgreSQL's processes, one per connection, seconds.
CHILDREN_EVERY_S = 1.0


class CostSampler:
    """Samples processes five times per second, from a thread, inside a `with` block."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        """`pids`: by name of the service; children are counted with their parent."""
        self._roots = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._own = psutil.Process()
        self._families: dict[str, list[psutil.Process]] = {}
        self._children_at = 0.0
        self._spent: dict[str, dict[int, float]] = {name: {} for name in pids}
        """Newest CPU seconds of each process, also of those that have ended."""
        self._times: list[float] = []
        self._cpu_s: dict[str, list[float]] = {name: [] for name in pids}
        self._rss_bytes: dict[str, list[int]] = {name: [] for name in pids}
        self._others_s: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._sample()

    def costs(self, begin: float, end: float, readings: int) -> tuple[Cost, ...]:
        """What each service took between two times (epoch seconds) for this number of readings."""
        found = []
        for name, cpu in self._cpu_s.items():
            spent = value_at(self._times, cpu, end) - value_at(self._times, cpu, begin)
            peak = max(
                (rss for at, rss in zip(self._times, self._rss_bytes[name], strict=True) if at >= begin), default=0
            )
            found.append(
                Cost(
                    name, round(spent, 3), round(1000 * spent / readings, 6), round(spent / (end - begin), 3),
                    round(peak / 1e6, 1),
                )
            )  # fmt: skip
        return tuple(found)

    def others_cores(self, begin: float, end: float) -> float:
        """Cores that everything else on the machine used meanwhile: beside a busy neighbour, a run means little."""
        spent = value_at(self._times, self._others_s, end) - value_at(self._times, self._others_s, begin)
        return round(max(0.0, spent / (end - begin)), 2)

    def _run(self) -> None:
        while not self._end.wait(INTERVAL_S):
            self._sample()

    def _sample(self) -> None:
        now = time.time()
        if now - self._children_at > CHILDREN_EVERY_S:
            self._children_at = now
            self._families = {name: _family(root, name == "postgres") for name, root in self._roots.items()}
        self._times.append(now)
        ours = 0.0
        for name, family in self._families.items():
            spent, own, shared = self._spent[name], 0, 0
            for process in family:
                with contextlib.suppress(psutil.Error), process.oneshot():
                    cpu, memory = process.cpu_times(), process.memory_info()
                    spent[process.pid] = cpu.user + cpu.system
                    # memory that PostgreSQL's processes share counts once
                    own += memory.rss - getattr(memory, "shared", 0)
                    shared = max(shared, getattr(memory, "shared", 0))
            total = sum(spent.values())
            ours += total
            self._cpu_s[name].append(total)
            self._rss_bytes[name].append(own + shared)
        machine, own_cpu = psutil.cpu_times(), self._own.cpu_times()
        busy = sum(getattr(machine, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq"))
        self._others_s.append(busy - ours - own_cpu.user - own_cpu.system)


def _family(root: psutil.Process, forks: bool) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return [root, *(root.children(recursive=True) if forks else ())]
    return [root]
