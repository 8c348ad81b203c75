"""The one-shot before Kafka's container: writes users, and what a new broker begins with, into volumes.

Runs in our image, by the compose files, as the user of Kafka's image; the numbers of the brokers are its arguments.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import structlog

from backend_demo import settings as settings_module
from backend_demo.errors import BdemoError, ConfigurationInvalid, ResourceInUse
from backend_demo.log import failed, set_up
from backend_demo.settings_sources import SECRETS_DIR
from backend_demo.stack.services import kafka, kafka_users
from backend_demo.stack.services.kafka_container import CLUSTER, VOLUMES
from backend_demo.stack.services.kafka_rights import Right

log = structlog.get_logger("backend_demo.stack.services.kafka_volume")  # it runs as __main__


def prepare(volumes: Mapping[int, Path], passwords: Mapping[str, str], rights: set[Right]) -> None:
    """Makes sure that these brokers, of one cluster, know the users. Raises ConfigurationInvalid, ResourceInUse.

    To the data of a single broker that has run with other users, or without any, ours are added. Several brokers would
    have to hold the same at the same place of their logs, which only they can see to.
    """
    with contextlib.ExitStack() as locks:
        stale = [data for data in volumes.values() if _has_others(data, passwords)]
        if stale and len(volumes) > 1:
            raise ConfigurationInvalid(
                "the data of these brokers are of an earlier version, with other users or none: delete them with "
                "bdemo down --wipe, or docker compose down -v",
                hint="to keep them, run them with the version of bdemo that made them",
            )
        for data in stale:
            locks.enter_context(_locked(data))
        for number, data in volumes.items():
            kafka_users.format_data(data, node=number, cluster=CLUSTER)
            kafka_users.write_users(data, passwords, rights)


def _has_others(data: Path, passwords: Mapping[str, str]) -> bool:
    return kafka_users.has_run(data) and not kafka_users.knows(data, passwords)


@contextlib.contextmanager
def _locked(data: Path) -> Iterator[None]:
    """Holds the lock by which a broker keeps others off its data. Raises ResourceInUse when one runs."""
    with (data / ".lock").open("a+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            raise ResourceInUse(
                "Kafka runs, and its users cannot be changed while it does",
                hint="stop the stack, and start it again: bdemo down, bdemo up",
            ) from problem
        yield


def main(numbers: Sequence[str]) -> None:
    """Prepares the volumes of the brokers of these numbers."""
    set_up("info")
    try:
        settings = settings_module.load()
        set_up(settings.log_level, form=settings.log_format)
        passwords = json.loads((SECRETS_DIR / kafka.PASSWORDS).read_text())
        volumes = {int(number): Path(VOLUMES, number) for number in numbers}
        prepare(volumes, passwords, kafka.rights(settings.consumer_group_prefix))
        log.info("done")
    except BdemoError as problem:
        sys.exit(failed(problem))


if __name__ == "__main__":
    main(sys.argv[1:])
