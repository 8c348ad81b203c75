"""The state of every copy of the embedded stack, by its supervisor and by its own answer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from backend_demo.errors import NoStack
from backend_demo.stack import logfiles, probes, time_limits
from backend_demo.stack.base import ServiceState, ServiceStatus
from backend_demo.stack.embedded.supervisor import ProcessInfo, Supervisor
from backend_demo.stack.resident_memory import resident_bytes
from backend_demo.stack.services.service import Health, WaitingFor
from backend_demo.stack.services.table import copy_of, shown
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.text import duration


def look(state: StateDirectory, supervisor: Supervisor) -> list[ServiceStatus]:
    """The status of every copy; asks all services at once. Raises NoStack."""
    addresses = state.record.settings()
    if not supervisor.runs():
        return _unsupervised(state, supervisor)
    infos, restarts = supervisor.processes(), supervisor.restarts()
    wanted = state.record.copies()
    running = {name for name, info in infos.items() if info.state != "STOPPED"}
    names = shown(wanted, running)

    def look_at(name: str) -> ServiceStatus:
        if name not in running and copy_of(name)[0].name not in wanted:
            return ServiceStatus(name, "off")
        health = probes.health(name, addresses, state) if infos[name].pid is not None else "down"
        return _status(infos[name], health, restarts[name], state)

    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(look_at, names))


def _status(info: ProcessInfo, health: Health, restarts: int, directory: StateDirectory) -> ServiceStatus:
    state = state_of(info, health)
    error = None
    if isinstance(health, WaitingFor):
        error = _waits(health)
    elif state in ("failed", "unhealthy") or info.state == "BACKOFF":
        error = logfiles.last_errors(directory.log_of(info.name))
    return ServiceStatus(
        info.name,
        state,
        pid=info.pid,
        uptime_s=info.uptime_s,
        rss_bytes=resident_bytes(info.pid) if info.pid else None,
        restarts=restarts,
        error=error,
    )


def _waits(health: WaitingFor) -> str:
    since = datetime.fromtimestamp(health.since).astimezone()
    return f"{health.server} is unreachable since {since:%H:%M:%S}, {duration(time.time() - health.since)} ago"


def state_of(info: ProcessInfo, health: Health) -> ServiceState:
    """The state of a copy, given what the supervisor says of its process and how it answers."""
    if isinstance(health, WaitingFor):
        return "waiting"
    if health != "down":
        return health
    if info.state == "FATAL":
        return "failed"
    if info.state in ("STOPPED", "STOPPING"):
        return "stopped"
    if info.uptime_s is None or info.uptime_s < time_limits.PATIENCE_S:
        return "starting"
    return "unhealthy"


def _unsupervised(state: StateDirectory, supervisor: Supervisor) -> list[ServiceStatus]:
    """What a killed supervisor has left. Raises NoStack when that is nothing."""
    from backend_demo.stack.embedded import leftovers  # imports psutil, which `status` has no time for

    pids = {name: process.pid for name, process in reversed(leftovers.children_of(supervisor.url))}
    if not pids:
        raise NoStack(state.path)
    down = supervisor.process() is not None
    error = "the stack is going down" if down else "the supervisor was killed; fix it with: bdemo up"
    return [
        ServiceStatus(name, "unhealthy" if name in pids else "stopped", pid=pids.get(name), error=error)
        for name in shown(state.record.copies(), pids)
    ]
