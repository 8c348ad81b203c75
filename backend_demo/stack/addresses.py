"""Where everything of a running stack is reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend_demo.stack.services import SERVICES, copy_names, stats_port
from backend_demo.stack.state import StateDirectory


def addresses(saved: Mapping[str, Any], state: StateDirectory) -> dict[str, str]:
    """Every address, by what is there; passwords are left out."""
    copies = state.wanted()
    return {
        "gateway": saved["gateway_url"],
        "kafka": saved["kafka_bootstrap"],
        "mqtt": f"{saved['mqtt_host']}:{saved['mqtt_port']}",
        "nats": f"nats://127.0.0.1:{saved['nats_port']}",
        "postgres": f"postgresql://bdemo@127.0.0.1:{saved['postgres_port']}/temperature",
        "postgres_socket": f"{state.sockets / 'postgres'}",
        **{
            f"{copy}_metrics": f"http://{saved['stats_host']}:{stats_port(copy, saved)}/metrics"
            for service in SERVICES.values()
            if service.ours
            for copy in copy_names(service.name, copies.get(service.name, 1))
        },
        "state": str(state.path),
    }
