"""The answer of /v1/stats, made from the metrics of the services."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from pydantic import TypeAdapter

from backend_demo.operations.observe.overview import overview
from backend_demo.operations.observe.samples import Scrape
from backend_demo.operations.observe.view import Overview, ServiceView

READY: Any = {
    "bdemo_service_ready": {(("service", "loader"),): 1.0},
    "process_start_time_seconds": {(): 1000.0},
    "sensor_values_loaded_total": {(): 50.0},
    "bdemo_dead_letters_total": {(("reason", "json"), ("service", "loader")): 2.0},
}


def answer(before: Any, now: Any) -> dict[str, Any]:
    copies = [ServiceView(name, "ready", restarts=None) for name in now]
    then = None if before is None else Scrape(2000.0, before)
    body = msgspec.json.encode(overview(then, Scrape(2002.0, now), copies))
    TypeAdapter(Overview).validate_json(body)
    return dict(json.loads(body))


def test_the_first_sample_has_counts_and_no_rates() -> None:
    found = answer(None, {"loader": READY, "bridge": None})
    assert found["interval_s"] is None
    hops = {hop["name"]: hop for hop in found["hops"]}
    assert hops["table temperature"] == {"name": "table temperature", "count": 50, "per_s": None}
    assert {service["name"]: service["state"] for service in found["services"]} == {"loader": "ready", "bridge": "down"}
    assert found["healthy"] is False


def test_the_next_sample_has_both() -> None:
    more = {**READY, "sensor_values_loaded_total": {(): 70.0}}
    found = answer({"loader": READY}, {"loader": more})
    assert (found["interval_s"], found["healthy"]) == (2.0, True)
    hops = {hop["name"]: hop for hop in found["hops"]}
    assert hops["table temperature"] == {"name": "table temperature", "count": 70, "per_s": 10.0}
    assert found["dead_letters"] == [{"service": "loader", "reason": "json", "count": 2, "per_s": 0.0}]
    assert found["services"][0]["restarts"] is None
