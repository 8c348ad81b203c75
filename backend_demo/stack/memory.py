"""The memory of a process, read from /proc: `bdemo status` has no time for importing psutil."""

from __future__ import annotations

import os
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process and its children; what they share (PostgreSQL's buffers) counts once."""
    try:
        pages = [_pages(member) for member in _family(pid)]
    except OSError:
        return None
    own = sum(resident - shared for resident, shared in pages)
    return PAGE_BYTES * (own + max(shared for _, shared in pages))


def _family(pid: int) -> list[int]:
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid, *(member for child in children for member in _family(child))]


def _pages(pid: int) -> tuple[int, int]:
    _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    return int(resident), int(shared)
