"""Tasks side by side in threads: the first failure stops the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """A task gave up because another one failed or the user interrupted."""


def at_once(tasks: Mapping[str, Callable[[], T]], stop: threading.Event) -> dict[str, T]:
    """Runs tasks in threads and returns their results by name.

    When one fails, `stop` is set, the others are waited for, and its error is raised.
    """
    with ThreadPoolExecutor(len(tasks) or 1) as pool:
        futures = {name: pool.submit(task) for name, task in tasks.items()}
        try:
            wait(futures.values(), return_when=FIRST_EXCEPTION)
        except BaseException:
            stop.set()
            raise
        if any(future.done() and future.exception() for future in futures.values()):
            stop.set()
    problems = [problem for future in futures.values() if (problem := future.exception())]
    for problem in sorted(problems, key=lambda problem: isinstance(problem, Stopped)):
        raise problem
    return {name: future.result() for name, future in futures.items()}
