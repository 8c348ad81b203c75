"""The programs of the embedded stack, and what must be there before the first of them starts."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.stack.base import Report, ServiceStatus
from backend_demo.stack.bringup import Stopped, at_once
from backend_demo.stack.servers import kafka, mqtt, postgres, prometheus
from backend_demo.stack.services import SERVICES, all_copies, most_copies
from backend_demo.stack.state import StateDirectory
from backend_demo.stack.supervisor import Program

if TYPE_CHECKING:
    from backend_demo.settings import Settings


def prepare(settings: Settings, state: StateDirectory, report: Report) -> list[Program]:
    """Gets Kafka's jars, makes PostgreSQL's cluster, writes configurations; every program, also of copies to come."""
    stop = threading.Event()

    def fetched(detail: str) -> None:
        if stop.is_set():
            raise Stopped
        report(ServiceStatus("kafka", "fetching", detail=detail))

    def fetched_kafka() -> Program:
        kafka.fetch(fetched)
        return kafka.prepare(settings, state)

    servers = at_once(
        {
            "kafka": fetched_kafka,
            "mqtt": lambda: mqtt.prepare(settings, state),
            "postgres": lambda: postgres.prepare(settings.postgres_port, state),
            "prometheus": lambda: prometheus.prepare(settings, state),
        },
        stop,
    )
    # copies that there may be later are known from the start; supervisord runs none of its own accord
    ours = all_copies({name: most_copies(entry) for name, entry in SERVICES.items() if entry.ours})
    return [*servers.values(), kafka.cache_program(), *(_service(name, state.path) for name in ours)]


def _service(name: str, state_dir: Path) -> Program:
    command = (sys.executable, "-m", "backend_demo", "run", name, "--supervised", "--state-dir", str(state_dir))
    return Program(name, "services", command)
