"""The state of a copy, from its process and its answer."""

from __future__ import annotations

import pytest

from backend_demo.stack import time_limits
from backend_demo.stack.base import HEALTHY, ServiceState
from backend_demo.stack.embedded.status import state_of
from backend_demo.stack.embedded.supervisor import ProcessInfo, ProcessState
from backend_demo.stack.services.service import Health, WaitingFor


@pytest.mark.parametrize(
    ("process", "uptime_s", "health", "state"),
    [
        ("RUNNING", 5.0, "ready", "ready"),
        ("RUNNING", 500.0, "rebalancing", "rebalancing"),
        ("STARTING", 1.0, "down", "starting"),
        ("BACKOFF", None, "down", "starting"),
        ("RUNNING", time_limits.PATIENCE_S + 1, "down", "unhealthy"),
        ("FATAL", None, "down", "failed"),
        ("STOPPED", None, "down", "stopped"),
        ("RUNNING", time_limits.PATIENCE_S + 1, WaitingFor("Kafka", 1.0), "waiting"),
    ],
)
def test_a_state_is_that_of_the_process_and_of_its_answer(
    process: ProcessState, uptime_s: float | None, health: Health, state: ServiceState
) -> None:
    assert state_of(ProcessInfo("processing", "services", process, 1, uptime_s), health) == state


def test_what_passes_by_itself_needs_no_repair() -> None:
    assert {"ready", "rebalancing", "off"} == HEALTHY
