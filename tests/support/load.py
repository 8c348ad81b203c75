"""Steady readings while a test does its worst."""

import threading
import time
from typing import Any

from backend_demo.settings import Settings
from tests.support.sensors import Publisher, exact, new_sensor
from tests.support.wait import eventually


class Load:
    """Readings of five sensors at a steady rate, some late, some very late, while a test does its worst."""

    def __init__(self, settings: Settings, rate: float = 200) -> None:
        self.publisher = Publisher(settings)
        self._rate = rate
        self._sensors = [new_sensor() for _ in range(5)]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.publisher.__exit__()

    def _run(self) -> None:
        begin, i = time.time(), 0
        while not self._end.is_set():
            due = begin + i / self._rate
            self._end.wait(max(0.0, due - time.time()))
            late = 3.3 if i % 20 == 0 else 0.21 if i % 7 == 0 else 0.0
            self.publisher.reading(self._sensors[i % 5], due - late, 20 + i % 11)
            i += 1

    def more(self, count: int = 200) -> None:
        """Waits until the broker has acknowledged that many more readings."""
        wanted = len(self.publisher.acknowledged) + count
        eventually(lambda: len(self.publisher.acknowledged) >= wanted, f"{count} more readings")

    def check(self, sql: Any) -> None:
        """Ends it, and verifies that every acknowledged reading is in the tables once, with its average."""
        self._end.set()
        self._thread.join()
        self.publisher.settle(90)
        exact(sql, self.publisher.acknowledged, limit_s=90)
