"""State directories as `down` leaves them, whose servers have never run, and what a backup keeps of them."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from backend_demo.stack.backup import kept
from backend_demo.stack.base import Report
from backend_demo.stack.services.table import users
from backend_demo.stack.state.directory import StateDirectory

#: How Kafka writes down where its partitions end.
CHECKPOINT = "0\n3\nsrc-data 1 7\n__consumer_offsets 0 9\nsrc-data 0 5\n"
END_OFFSETS = {"src-data": [5, 7]}


class Silent:
    """Shows no steps, and has nothing to start."""

    def step(self, what: str, total: int | None = None) -> None:
        """Begins a step."""

    def advance(self, count: int) -> None:
        """Takes how much more is done."""

    def starting(self) -> AbstractContextManager[Report]:
        raise AssertionError("nothing is to be started")


def stopped_stack(folder: Path) -> StateDirectory:
    """A directory with random data in its servers' folders."""
    state = StateDirectory(folder)
    state.create(users())
    for data in kept.DATA.values():
        (state.path / data.folder / "empty").mkdir(parents=True)
        (state.path / data.folder / "file").write_bytes(os.urandom(200_000))
    kafka = state.path / "kafka" / "data"
    (kafka / ".kafka_cleanshutdown").touch()
    (kafka / "recovery-point-offset-checkpoint").write_text(CHECKPOINT)
    (state.logs / "kafka.log").write_text("a line")
    return state


def files(state: StateDirectory) -> dict[str, bytes | None]:
    """What a backup keeps, with its content; None for a folder."""
    tops = [state.path / name for name in kept.names(state)]
    found = [path for top in tops for path in (top, *top.rglob("*")) if path.exists()]
    return {str(path.relative_to(state.path)): path.read_bytes() if path.is_file() else None for path in found}
