"""Records Kafka's start-up cache, with which a start takes two seconds of CPU instead of five.

Runs as a program in the background, once for all stacks of a user: it starts a Kafka that nobody uses and ends it, and
the Java machine writes down what it had loaded (JEP 483).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from backend_demo.adapters.kafka import Brokers
from backend_demo.settings import Settings
from backend_demo.stack import ports, probes
from backend_demo.stack.services import kafka, kafka_jars, kafka_topics, kafka_users
from backend_demo.stack.services.kafka_users import MECHANISM, PROTOCOL
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN

START_LIMIT_S = 120.0
#: What an idle broker does within seconds of its start is worth recording too.
RECORD_S = 3.0
WRITE_LIMIT_S = 300.0


def main() -> None:
    """Records a start. Leaves nothing behind when it is ended before it is done."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    os.nice(19)
    cache = kafka_jars.home().parent
    kafka_jars.remove_dead_fetches(cache)
    with tempfile.TemporaryDirectory(prefix=kafka_jars.FETCHING, dir=cache, ignore_cleanup_errors=True) as folder:
        _record(StateDirectory(Path(folder)))


def _record(state: StateDirectory) -> None:
    settings = ports.free(Settings(state_dir=state.path)).model_copy(update=kafka_users.CLIENT_SETTINGS)
    state.create(kafka.users())
    recorded = state.path / "recorded.aot"
    command = kafka.prepare(settings, state).command
    process = subprocess.Popen(  # noqa: S603 - words, no shell
        [command[0], f"-XX:AOTCacheOutput={recorded}", *command[1:]],
        cwd=state.path,
        process_group=0,  # a second Java machine writes the cache: both must be reached
    )
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not probes.is_ready(kafka.KAFKA.name, settings.model_dump(), state) and time.monotonic() < deadline:
            time.sleep(0.5)
        kafka_topics.create_topics(
            Brokers(settings.kafka_bootstrap, PROTOCOL, MECHANISM, KAFKA_ADMIN, state.secrets.of(KAFKA_ADMIN))
        )
        time.sleep(RECORD_S)
        process.send_signal(signal.SIGTERM)
        process.wait(WRITE_LIMIT_S)
        recorded.rename(kafka_jars.start_up_cache())
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(WRITE_LIMIT_S)


if __name__ == "__main__":
    main()
