"""What the newest `up` hands on to the processes of the embedded stack: the environment, and settings with secrets.

Each process takes it when it starts. A supervisor that kept the environment in which it was started would hand on that
of an earlier `up`. It is a file of its owner's (0600) which `down` deletes: an environment shows what it holds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend_demo import environment
from backend_demo.stack.state.files import write_private

if TYPE_CHECKING:
    from backend_demo.settings import Settings

FILE = "handed-on.json"

#: Settings of services that are not in stack.json, because they are secret or for tests only.
SETTINGS = ("mqtt_username", "mqtt_password", "gateway_tokens", "network_tokens", "failpoint")


class HandedOn:
    """The file of one state directory."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def save(self, settings: Settings) -> None:
        """Hands on the environment of this process, and these settings."""
        values = settings.model_dump(mode="json", include=set(SETTINGS), exclude_defaults=True)
        write_private(self._file, json.dumps({"environment": environment.of_programs(), "settings": values}))

    def environment(self) -> dict[str, str]:
        """The variables of a process that starts now; without the file, those of this process that one may have."""
        return self._read().get("environment", environment.of_programs())

    def settings(self) -> dict[str, Any]:
        """The settings of a service that starts now; empty without the file."""
        return self._read().get("settings", {})

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            return dict(json.loads(self._file.read_text()))
        except (OSError, ValueError):
            return {}
