"""The load of a chaos run: sensors that publish in a thread and keep a ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from backend_demo.errors import ServiceFailed

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.simulator.plan import Plan, SimulationProgress, Summary


class Load:
    """Publishes inside the block; at its end, what is still out is waited for."""

    def __init__(
        self, settings: Settings, plan: Plan, ledger: Path, on_progress: Callable[[SimulationProgress], None]
    ) -> None:
        from backend_demo.simulator.sensors import simulate

        self._stop = threading.Event()
        self._future: Future[Summary] = Future()

        def publish() -> None:
            try:
                self._future.set_result(
                    simulate(settings, plan, ledger=ledger, on_progress=on_progress, stop=self._stop)
                )
            except BaseException as problem:  # noqa: BLE001 - it is raised again in the main thread
                self._future.set_exception(problem)

        # not a pool: a second Ctrl-C must not wait for it
        self._thread = threading.Thread(target=publish, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises what has ended the sensors before their time."""
        if self._future.done():
            self._future.result()
            raise ServiceFailed("the sensors gave up: the MQTT broker was away for too long", hint="see: bdemo status")

    def summary(self) -> Summary:
        """What became of the readings, after the block."""
        return self._future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
