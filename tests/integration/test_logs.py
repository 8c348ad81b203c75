"""Logs of a stack that works: silent, and events that programs can read."""

from __future__ import annotations

import json
import time
from typing import Any

from backend_demo.log_event import from_json
from backend_demo.stack.base import LogFilter, LogLine, Stack
from tests.support.wait import eventually

OURS = ("mqtt", "collection", "processing", "aggregation", "loader", "gateway")
QUIET_S = 3.0


def lines_since(stack: Stack, moment: float) -> list[LogLine]:
    return list(stack.logs(OURS, lines=1000, follow=False, wanted=LogFilter(since=moment)))


def test_services_are_silent_while_readings_pass(stack: Stack, bdemo: Any) -> None:
    """Nothing after `ready`: what a test before this one disturbed has calmed down."""
    eventually(lambda: not lines_since(stack, time.time() - QUIET_S), "the services have calmed down")
    begin = time.time()
    bdemo("simulate", "--sensors", "5", "--rate", "20", "--duration", "10s")
    assert bdemo("query", "latest", "-o", "json").stdout
    assert [line.text for line in lines_since(stack, begin)] == []


def test_a_service_s_life_is_told_in_events(stack: Stack, bdemo: Any) -> None:
    begin = time.time()
    stack.stop("processing")
    stack.start("processing")
    assert all(from_json(line.text) for line in lines_since(stack, begin))
    said = bdemo("logs", "processing", "--since", str(begin), "-o", "json").stdout
    events = [json.loads(line) for line in said.splitlines()]
    assert [event["event"] for event in events if event["logger"].startswith("backend_demo")] == [
        "stopped",
        "starting",
        "ready",
    ]
    assert {event["service"] for event in events} == {"processing"}
    assert len({event["pid"] for event in events}) == 2
    ready = events[-1]
    assert (ready["level"], ready["partitions"], ready["text"]) == ("info", 8, "ready partitions=8")
    short = bdemo("logs", "processing", "--since", str(begin)).stdout.splitlines()
    assert short[-1] == f"processing    {ready['time'][11:]} info    ready partitions=8"
    assert bdemo("logs", "processing", "--since", str(begin), "--level", "critical").stdout == ""
