"""What holds for all tests."""

import os
import random
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from backend_demo.stack import ports

# the background job of a shell ignores SIGINT, and so would every program that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)

# nothing is judged by how long it takes: the machine may be busy
settings.register_profile("dev", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
# the same examples in every run: a check that turns red has a reason in the change, and stays red until it is fixed
settings.register_profile("ci", settings.get_profile("dev"), max_examples=100, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

#: Ports that one test process chooses from; there are 40 such slices.
SLICE = 500


@pytest.fixture(scope="session", autouse=True)
def ports_of_its_own() -> Iterator[None]:
    """Stacks of test processes that run side by side choose their ports from different slices of the range.

    A chosen port is free until its service listens, seconds later: another stack could choose it meanwhile.
    """
    number = (os.getppid() + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])) % 40
    first = 10_000 + SLICE * number

    def candidates() -> Iterator[int]:
        while True:
            yield random.randrange(first, first + SLICE)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ports, "_candidates", candidates)
        yield
