"""The record of a running stack, `stack.json`: its kind, its settings and how many copies of each service run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend_demo.errors import ConfigurationInvalid, NoStack
from backend_demo.stack.state.files import write_private
from backend_demo.stack.state.paths import OF_ANOTHER_USER
from backend_demo.trust import check_owner

if TYPE_CHECKING:
    from backend_demo.settings import Settings

SCHEMA = "bdemo.stack/1"

#: Settings that differ from user to user or hold secrets: never in stack.json.
_PRIVATE = {
    *("state_dir", "postgres_dsn", "postgres_reader_dsn", "mqtt_username", "mqtt_password"),
    *("kafka_username", "kafka_password", "gateway_tokens", "network_tokens", "gateway_token", "failpoint"),
}


class StackRecord:
    """The `stack.json` of one state directory."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def save(self, settings: Settings) -> None:
        """Records a stack that is coming up: its kind and its settings, with the ports that it really uses."""
        values = settings.model_dump(mode="json", exclude=_PRIVATE)
        self._write({"schema": SCHEMA, "settings": values, "copies": {}})

    def delete(self) -> None:
        """Removes the record: no stack runs here."""
        self._file.unlink(missing_ok=True)

    def settings(self) -> dict[str, Any]:
        """The settings of the recorded stack. Raises NoStack, ConfigurationInvalid (another version of bdemo)."""
        return dict(self._read()["settings"])

    def kind(self) -> str | None:
        """The kind of the recorded stack, `embedded` or `compose`; None without a readable record."""
        with contextlib.suppress(NoStack, ConfigurationInvalid):
            return str(self.settings()["stack"])
        return None

    def copies(self) -> dict[str, int]:
        """How many copies of each service are to run; a service that is missing was not asked for. Raises NoStack."""
        return dict(self._read().get("copies", {}))

    def add_copies(self, copies: Mapping[str, int]) -> None:
        """Records how many copies of these services are to run; the others keep their numbers. Raises NoStack."""
        record = self._read()
        self._write({**record, "copies": {**record.get("copies", {}), **copies}})

    def copies_for(self, names: Collection[str], scale: Mapping[str, int]) -> dict[str, int]:
        """How many copies of these services to run: what `scale` says, else what is recorded, else one."""
        recorded: Mapping[str, int] = {}
        with contextlib.suppress(NoStack, ConfigurationInvalid):
            recorded = self.copies()
        return {name: scale.get(name, recorded.get(name, 1)) for name in names}

    def _write(self, record: Mapping[str, Any]) -> None:
        write_private(self._file, json.dumps(record, indent=1))

    def _read(self) -> dict[str, Any]:
        check_owner(self._file.parent, hint=OF_ANOTHER_USER)
        try:
            record = json.loads(self._file.read_text())
        except PermissionError as problem:
            raise ConfigurationInvalid(f"{self._file} may be read by its owner only", hint=OF_ANOTHER_USER) from problem
        except (OSError, ValueError):
            raise NoStack(self._file.parent) from None
        if record.get("schema") != SCHEMA:
            raise ConfigurationInvalid(
                f"{self._file} was written by another version of bdemo (schema {record.get('schema')!r})",
                hint="stop that stack with its own bdemo, or choose another --state-dir",
            )
        return dict(record)
