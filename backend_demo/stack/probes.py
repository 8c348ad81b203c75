"""Is a service healthy? Asks it with one real round trip, within a time limit."""

from __future__ import annotations

import http.client

from backend_demo.stack.services.service import Addresses, Health
from backend_demo.stack.services.table import copy_of
from backend_demo.stack.state.directory import StateDirectory


def health(copy: str, addresses: Addresses, state: StateDirectory) -> Health:
    """The health of a service of the stack, or of a copy of one. Every failure to answer is `down`."""
    service, number = copy_of(copy)
    try:
        answer = service.probe(number, addresses, state) if service.probe is not None else False
    except (OSError, TimeoutError, http.client.HTTPException, ValueError, EOFError):
        return "down"
    if isinstance(answer, bool):
        return "ready" if answer else "down"
    return answer


def is_ready(copy: str, addresses: Addresses, state: StateDirectory) -> bool:
    """Whether a service of the stack, or a copy of one, can do its work now."""
    return health(copy, addresses, state) == "ready"
