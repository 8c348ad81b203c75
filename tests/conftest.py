"""What holds for all tests."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from backend_demo.stack import ports
from tests.support.ports import of_stacks

# the background job of a shell ignores SIGINT, and so would every program that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)

# the stacks of tests live for seconds or minutes: half of their Kafka's CPU would go into compiling it well
os.environ.setdefault("BDEMO_KAFKA_JVM_OPTIONS", "-XX:TieredStopAtLevel=1")

# nothing is judged by how long it takes: the machine may be busy
settings.register_profile("dev", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
# the same examples in every run: a check that turns red has a reason in the change, and stays red until it is fixed
settings.register_profile("ci", settings.get_profile("dev"), max_examples=100, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session", autouse=True)
def ports_of_its_own() -> Iterator[None]:
    """Stacks choose their ports where no other test process does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ports, "_candidates", lambda: of_stacks)
        yield
