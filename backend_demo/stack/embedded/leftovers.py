"""Finds and ends processes of an embedded stack that nobody supervises any more."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

import psutil

from backend_demo.errors import UnknownName
from backend_demo.stack.processes import all_others, end, environment_of
from backend_demo.stack.services.service import DEFAULT_STOP_SIGNAL
from backend_demo.stack.services.table import SERVICES, copy_of

if TYPE_CHECKING:
    from backend_demo.stack.state.directory import StateDirectory


def children_of(server_url: str) -> list[tuple[str, psutil.Process]]:
    """Processes started by the supervisor at that URL, and their children, each with the name of its program.

    Both are in their environment. They outlive a killed supervisor, and a new one would start each program again.
    """
    found = []
    for process in all_others():
        environment = environment_of(process)
        if environment.get("SUPERVISOR_SERVER_URL") == server_url:
            found.append((environment.get("SUPERVISOR_PROCESS_NAME", ""), process))
    return found


def end_leftovers(server_url: str, state: StateDirectory) -> bool:
    """Ends what is left of a stack: its services, then its servers, then what those left. False: nothing was left."""
    children = children_of(server_url)
    ours = [process for name, process in children if _is_ours(name)]
    slow = [(SERVICES[name], process) for name, process in children if _has_own_signal(name)]
    end(ours)
    end(process for _, process in children if process not in (*ours, *(other for _, other in slow)))
    for number in {service.stop_signal for service, _ in slow}:
        these = [process for service, process in slow if service.stop_signal == number]
        end(these, first=signal.Signals[f"SIG{number}"])
    found = [service.end_leftovers(state) for service in SERVICES.values() if service.end_leftovers]
    return bool(children) or any(found)


def _is_ours(program: str) -> bool:
    """Whether a program of supervisord is a service of ours."""
    with contextlib.suppress(UnknownName):
        return copy_of(program)[0].ours
    return False


def _has_own_signal(program: str) -> bool:
    """Whether a program of supervisord is a server that SIGTERM does not end in time."""
    return program in SERVICES and SERVICES[program].stop_signal != DEFAULT_STOP_SIGNAL
