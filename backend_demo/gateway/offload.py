"""Threads for work that would block the event loop for more than a millisecond."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

# few: encoding and compressing take a whole core, and each thread keeps a heap of its own
_threads = ThreadPoolExecutor(2, thread_name_prefix="offload")


async def offload(work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Runs `work` in a thread, and returns what it returns."""
    return await asyncio.get_running_loop().run_in_executor(_threads, partial(work, *arguments, **named))
