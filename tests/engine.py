"""Whether containers can be run here, and which of them tests leave out."""

from __future__ import annotations

import pytest

from backend_demo.errors import BdemoError
from backend_demo.stack import compose_docker

#: It takes part in nothing that is tested, and its image is the largest. The embedded stack has none.
LEFT_OUT = ("grafana",)


def missing() -> str:
    """Why no container can be run here; empty when one can."""
    try:
        compose_docker.check()
    except BdemoError as problem:
        return f"no containers here: {problem.message}"
    return ""


needs_engine = pytest.mark.skipif(bool(missing()), reason=missing() or "there is an engine")
