"""What a long operation on a stack shows while it works."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from backend_demo.stack.base import Report


class Steps(Protocol):
    """Shows one step after another."""

    def step(self, what: str, total: int | None = None) -> None:
        """Begins a step; `total` is how many bytes it has, if that is known."""

    def advance(self, count: int) -> None:
        """Takes how many bytes more of the step are done."""

    def starting(self) -> AbstractContextManager[Report]:
        """Shows services on their way up, by the report that this gives."""
