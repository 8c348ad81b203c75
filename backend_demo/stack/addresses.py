"""The addresses at which everything of a running stack is reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend_demo.stack.compose.project import Project
from backend_demo.stack.services.copies import copy_name, stats_port_of
from backend_demo.stack.services.table import OURS, PIPELINE, SERVICES, counted, services_of
from backend_demo.stack.state.directory import StateDirectory


def addresses(saved: Mapping[str, Any], state: StateDirectory) -> dict[str, str]:
    """Every address of the running stack by a name of its own, without passwords."""
    copies = state.record.copies()
    plan = Project(state).plan()
    found: dict[str, str] = {}
    for service in services_of(saved["stack"], plan.profiles).values():
        # what takes no part in the pipeline is often left out
        if service.addresses and (service.name in PIPELINE or service.name in copies):
            found |= service.addresses(saved, state, plan.environment)
    always = (name for name in OURS if not SERVICES[name].asked_for)
    for service, count in counted({**dict.fromkeys(always, 1), **copies}):
        for number in range(1, count + 1):
            port = stats_port_of(service, number, saved)
            found[f"{copy_name(service.name, number)}_metrics"] = f"http://{saved['stats_host']}:{port}/metrics"
    return {**found, "state": str(state.path)}
