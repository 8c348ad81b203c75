"""Where everything of a running stack is reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend_demo.stack.compose_project import Project
from backend_demo.stack.services import SERVICES, copy_names, stats_port
from backend_demo.stack.state import StateDirectory


def addresses(saved: Mapping[str, Any], state: StateDirectory) -> dict[str, str]:
    """Every address, by what is there; passwords are left out."""
    copies = state.wanted()
    return {
        "gateway": saved["gateway_url"],
        "kafka": saved["kafka_bootstrap"],
        "mqtt": f"{saved['mqtt_host']}:{saved['mqtt_port']}",
        "postgres": f"postgresql://bdemo@127.0.0.1:{saved['postgres_port']}/temperature",
        **({"prometheus": f"http://127.0.0.1:{saved['prometheus_port']}"} if "prometheus" in copies else {}),
        **(_embedded(saved, state) if saved["stack"] == "embedded" else _compose(copies, state)),
        **{
            f"{copy}_metrics": f"http://{saved['stats_host']}:{stats_port(copy, saved)}/metrics"
            for service in SERVICES.values()
            if service.ours
            for copy in copy_names(service.name, copies.get(service.name, 1))
        },
        "state": str(state.path),
    }


def _embedded(saved: Mapping[str, Any], state: StateDirectory) -> dict[str, str]:
    return {
        "nats": f"nats://127.0.0.1:{saved['nats_port']}",
        "postgres_socket": f"{state.sockets / 'postgres'}",
    }


def _compose(copies: Mapping[str, int], state: StateDirectory) -> dict[str, str]:
    """Of what only containers have."""
    ports = Project(state).plan().environment
    pages = ("grafana", "pgadmin", "kafka-ui")
    names = {page: f"{page.replace('-', '_').upper()}_HOST_PORT" for page in pages if page in copies}
    return {page: f"http://127.0.0.1:{ports[name]}" for page, name in names.items() if name in ports}
