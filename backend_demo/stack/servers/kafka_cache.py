"""Kafka's start-up cache: a first start is recorded, later ones take two seconds of CPU instead of five.

Run as a program, once for all stacks of a user, in the background: a Kafka that nobody uses starts, ends, and its Java
machine writes down what it had loaded (JEP 483).
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from backend_demo.settings import Settings
from backend_demo.stack import ports, probes
from backend_demo.stack.servers import kafka
from backend_demo.stack.state import StateDirectory

START_LIMIT_S = 120.0
#: What an idle broker does within seconds of its start is worth recording too.
RECORD_S = 3.0
WRITE_LIMIT_S = 300.0


def main() -> None:
    """Records a start."""
    os.nice(19)
    with tempfile.TemporaryDirectory(
        prefix=kafka.FETCHING, dir=kafka.home().parent, ignore_cleanup_errors=True
    ) as folder:
        state = StateDirectory(Path(folder))
        settings = ports.free(Settings(state_dir=state.path))
        recorded = state.path / "recorded.aot"
        command = kafka.prepare(settings, state).command
        record = [command[0], f"-XX:AOTCacheOutput={recorded}", *command[1:]]
        process = subprocess.Popen(record, cwd=state.path)
        try:
            deadline = time.monotonic() + START_LIMIT_S
            while not probes.is_ready("kafka", settings.model_dump(), state) and time.monotonic() < deadline:
                time.sleep(0.5)
            kafka.create_topics(settings.kafka_bootstrap)
            time.sleep(RECORD_S)
            process.send_signal(signal.SIGTERM)
            process.wait(WRITE_LIMIT_S)
            recorded.rename(kafka.start_up_cache())
        finally:
            process.kill()


if __name__ == "__main__":
    main()
