"""Notify: how an operation that waits says why."""

from collections.abc import Callable

Notify = Callable[[str], None]
"""Takes a message for the user, who watches the operation."""
