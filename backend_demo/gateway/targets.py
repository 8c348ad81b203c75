"""Where every copy of a service serves its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import structlog

from backend_demo.operations.observe.samples import Address
from backend_demo.stack.services.table import OURS, not_asked_for

if TYPE_CHECKING:
    from backend_demo.settings import Settings

log = structlog.get_logger()


class _Labels(msgspec.Struct):
    job: str
    service: str
    instance: str


class _Target(msgspec.Struct):
    targets: list[str]
    labels: _Labels


_decode = msgspec.json.Decoder(list[_Target]).decode


class Targets:
    """Where every copy of a service serves its metrics at the moment: copies come and go."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.metrics_targets
        host = settings.stats_host
        local = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
        absent = not_asked_for(settings.model_dump())
        self._found: Mapping[str, Address] = {
            name: Address(local, settings.stats_port(name)) for name in OURS if name not in absent
        }
        self._unreadable = False

    def read(self) -> Mapping[str, Address]:
        """The addresses by the name of the copy; the last ones while the file cannot be read."""
        if self._file is not None:
            try:
                self._found = parse(self._file.read_bytes())
                self._unreadable = False
            except (OSError, ValueError) as problem:
                if not self._unreadable:
                    log.warning("targets unreadable", file=str(self._file), reason=str(problem))
                self._unreadable = True
        return self._found


def parse(content: bytes) -> dict[str, Address]:
    """Reads the addresses in a file of targets, by the name of the copy. Raises ValueError."""
    found = {}
    for entry in _decode(content):
        labels = entry.labels
        # an instance is named after its job, which for some services is the original's name for them
        name = labels.service + labels.instance.rpartition(":")[0].removeprefix(labels.job)
        host, _, port = entry.targets[0].rpartition(":")
        found[name] = Address(host, int(port))
    return found
