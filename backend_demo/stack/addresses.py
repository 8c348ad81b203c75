"""Where everything of a running stack is reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend_demo.stack.services import SERVICES
from backend_demo.stack.state import StateDirectory


def addresses(saved: Mapping[str, Any], state: StateDirectory) -> dict[str, str]:
    """Every address, by what is there; passwords are left out."""
    return {
        "gateway": saved["gateway_url"],
        "kafka": saved["kafka_bootstrap"],
        "mqtt": f"{saved['mqtt_host']}:{saved['mqtt_port']}",
        "nats": f"nats://127.0.0.1:{saved['nats_port']}",
        "postgres": f"postgresql://bdemo@127.0.0.1:{saved['postgres_port']}/temperature",
        "postgres_socket": f"{state.sockets / 'postgres'}",
        **{
            f"{service.name}_metrics": f"http://{saved['stats_host']}:{saved[f'{service.name}_stats_port']}/metrics"
            for service in SERVICES.values()
            if service.ours
        },
        "state": str(state.path),
    }
