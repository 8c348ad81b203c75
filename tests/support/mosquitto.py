"""mosquitto with listeners of a test's choice, as a child process."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from pathlib import Path

from tests.support.ports import free_port, listens
from tests.support.wait import eventually

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Mosquitto:
    """One broker. Each listener is its lines in the configuration file, below `listener`."""

    def __init__(self, folder: Path, **listeners: dict[str, object]) -> None:
        self.ports = {name: free_port() for name in listeners}
        lines = [f"user {getpass.getuser()}", "per_listener_settings true", "log_dest stderr"]
        for name, options in listeners.items():
            lines += [f"listener {self.ports[name]} 127.0.0.1", "allow_anonymous true"]
            lines += [f"{option} {value}" for option, value in options.items()]
        self.configuration = folder / "mosquitto.conf"
        self.configuration.write_text("\n".join(lines) + "\n")
        self._log = folder / "mosquitto.log"

    def start(self) -> None:
        """Returns when it listens on all ports."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([str(PROGRAM), "-c", self.configuration], stderr=log, stdout=log)
        for port in self.ports.values():
            eventually(lambda port=port: listens(port), f"mosquitto listens, see {self._log}", 20)

    def stop(self) -> None:
        """Returns when it has ended."""
        self._process.terminate()
        self._process.wait(20)
