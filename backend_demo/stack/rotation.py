"""Replaces the passwords of an embedded stack."""

from __future__ import annotations

from collections.abc import Collection

from backend_demo.errors import NoStack, UnknownName, UsageError
from backend_demo.stack.base import Report
from backend_demo.stack.embedded.stack import EmbeddedStack
from backend_demo.stack.services.postgres import SUPERUSER
from backend_demo.stack.state.directory import StateDirectory


def rotate(state: StateDirectory, names: Collection[str], report: Report) -> tuple[tuple[str, ...], bool]:
    """Makes new passwords for these users, or for all; which they are, and whether a running stack was restarted.

    The servers are told when they start: MQTT by its file of users, Kafka by its data, PostgreSQL by its superuser,
    whose own password stays. Raises NoStack, UnknownName, UsageError; what `Stack.up` raises.
    """
    kind = state.record.kind()
    if kind == "compose" or (kind is None and state.compose.is_dir()):  # as `stack_in` has it
        raise UsageError(
            "the passwords of a compose stack are made by its containers", hint="new ones: bdemo down --wipe, bdemo up"
        )
    if not state.secrets_file.exists():
        raise NoStack(state.path)
    known = [name for name in state.secrets.names() if name != SUPERUSER]
    for name in names:
        if name == SUPERUSER:
            raise UsageError(
                f"the password of {name} stays", hint="only bdemo itself uses it: it is PostgreSQL's superuser"
            )
        if name not in known:
            raise UnknownName("secret", name, known)
    chosen = tuple(names or known)
    stack = EmbeddedStack(state.path)
    if not stack.supervisor.runs():
        state.secrets.renew(chosen)
        return chosen, False
    settings, copies = state.started_with(), state.record.copies()
    stack.down()
    state.secrets.renew(chosen)
    EmbeddedStack(state.path, settings).up(copies, report, scale=copies)
    return chosen, True
