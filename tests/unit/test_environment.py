"""The variables that a service gets."""

from __future__ import annotations

from backend_demo import environment
from tests.support.hostile import HOSTILE


def test_a_program_gets_the_variables_of_the_list_and_no_others() -> None:
    shell = {**HOSTILE, "PATH": "/bin", "TZ": "UTC", "OTEL_TRACES_SAMPLER": "always_on", "LC_ALL": "de_DE", "A": "b"}
    assert environment.of_programs(shell) == {
        "PATH": "/bin",
        "TZ": "UTC",
        "OTEL_TRACES_SAMPLER": "always_on",
        "LC_ALL": "C.UTF-8",
    }
