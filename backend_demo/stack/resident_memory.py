"""The memory of a process, read from /proc: importing psutil would take too long for `bdemo status`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process and its children; what they share (PostgreSQL's buffers) counts once.

    None: it has ended.
    """
    pages = list(_pages(pid))
    if not pages:
        return None
    own = sum(resident - shared for resident, shared in pages)
    return PAGE_BYTES * (own + max(shared for _, shared in pages))


def _pages(pid: int) -> Iterator[tuple[int, int]]:
    """Resident and shared pages of a process and its children, without those that end at that moment."""
    with contextlib.suppress(OSError):
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        yield int(resident), int(shared)
        for child in children:
            yield from _pages(int(child))
