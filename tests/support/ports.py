"""Ports of this machine. A free one is given out long before its service listens: nobody else may be given it too.

So test processes that run side by side choose from slices of their own, each number of a slice has its turn before the
first one comes again, and stacks choose apart from tests: their copies listen 100, 200 and more above their ports.
"""

import contextlib
import itertools
import os
import random
import socket
from collections.abc import Iterator

from backend_demo.domain.topics import PARTITIONS
from backend_demo.stack import ports
from backend_demo.stack.services.copies import STATS_PORT_STEP

#: Ports of one test process; there are 10 such slices below those of outgoing connections.
SLICE = 2_000

_first = 10_000 + SLICE * ((os.getppid() + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])) % 10)
_of_copies_to = _first + STATS_PORT_STEP * PARTITIONS


def _in_turn(numbers: range) -> Iterator[int]:
    return itertools.cycle(random.sample(numbers, len(numbers)))


#: For stacks.
of_stacks = _in_turn(range(_first, _first + STATS_PORT_STEP))

_of_tests = _in_turn(range(_of_copies_to, _first + SLICE))


def free_port() -> int:
    """A port that nothing listens on."""
    with contextlib.ExitStack() as held:
        return next(port for port in _of_tests if ports._bind([port], held))


def listens(port: int) -> bool:
    """Whether something accepts connections on that port."""
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex(("127.0.0.1", port)) == 0
