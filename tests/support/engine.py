"""Whether containers can run here, and which services tests leave out."""

from __future__ import annotations

import pytest

from backend_demo.errors import BdemoError
from backend_demo.stack.compose import docker as compose_docker

#: No test needs Grafana, and its image is the largest. The embedded stack has none.
LEFT_OUT = ("grafana",)


def missing() -> str:
    """The reason why containers cannot run here; empty when they can."""
    try:
        compose_docker.check()
    except BdemoError as problem:
        return f"no containers here: {problem.message}"
    return ""


needs_engine = pytest.mark.skipif(bool(missing()), reason=missing() or "there is an engine")
