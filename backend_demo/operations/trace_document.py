"""A trace in plain types: what `bdemo trace -o json` prints, and the gateway tells state by state. Pure."""

from __future__ import annotations

import dataclasses
from typing import Any

from backend_demo.operations.trace_path import Trace

SCHEMA = "bdemo.trace/1"


def document(trace: Trace) -> dict[str, Any]:
    """The trace in plain types; each hop with its place."""
    hops = []
    for hop in trace.hops:
        fields = dataclasses.asdict(hop)
        hops.append(fields | fields.pop("place"))
    return {
        "schema": SCHEMA,
        "sensor": trace.sensor,
        "timestamp": trace.timestamp,
        "value": trace.value,
        "outcome": trace.outcome,
        "total_ms": trace.total_ms,
        "refusal": trace.refusal and dataclasses.asdict(trace.refusal),
        "hops": hops,
        "missing": [step.name for step in trace.missing],
        "stands_before": [step.name for step in trace.stands_before],
        "troubles": trace.troubles,
    }
