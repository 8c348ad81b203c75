"""What is done with the volumes of Kafka's brokers before they start."""

from __future__ import annotations

import fcntl
import multiprocessing
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from backend_demo.errors import ConfigurationInvalid, ResourceInUse
from backend_demo.stack.services.kafka_users import BOOTSTRAP, knows
from backend_demo.stack.services.kafka_volume import prepare

PASSWORDS = {"kafka-admin": "one"}
OTHERS = {"kafka-admin": "another"}


@pytest.fixture
def volumes(tmp_path: Path) -> dict[int, Path]:
    found = {number: tmp_path / str(number) for number in (1, 2, 3)}
    for data in found.values():
        data.mkdir()
    return found


def run(data: Path) -> Path:
    """As if a Kafka had run with what it was given."""
    log = data / "__cluster_metadata-0" / "00000000000000000000.log"
    log.parent.mkdir()
    log.write_bytes((data / BOOTSTRAP).read_bytes())
    return log


def hold(lock: Path, held: Event, done: Event) -> None:
    """As a Kafka that runs."""
    with lock.open("a+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        held.set()
        done.wait()


def test_brokers_of_a_new_cluster_have_one_id_and_numbers_of_their_own(volumes: dict[int, Path]) -> None:
    prepare(volumes, PASSWORDS, set())
    prepare(volumes, OTHERS, set())  # none of them has run
    written = [(data / "meta.properties").read_text().splitlines() for data in volumes.values()]
    assert [lines[1] for lines in written] == ["node.id=1", "node.id=2", "node.id=3"]
    assert len({lines[2] for lines in written}) == 1
    assert all(knows(data, OTHERS) for data in volumes.values())


def test_users_are_added_to_the_data_of_one_broker_that_is_stopped(volumes: dict[int, Path]) -> None:
    one = {1: volumes[1]}
    prepare(one, PASSWORDS, set())
    log = run(volumes[1])
    before = log.read_bytes()
    prepare(one, OTHERS, set())
    assert log.read_bytes().startswith(before)
    assert len(log.read_bytes()) > len(before)


def test_data_of_a_broker_that_runs_are_left_alone(volumes: dict[int, Path]) -> None:
    one, context = {1: volumes[1]}, multiprocessing.get_context("fork")
    prepare(one, PASSWORDS, set())
    log = run(volumes[1])
    before = log.read_bytes()
    held, done = context.Event(), context.Event()
    kafka = context.Process(target=hold, args=(volumes[1] / ".lock", held, done))
    kafka.start()
    try:
        assert held.wait(30)
        prepare(one, PASSWORDS, set())  # nothing is to be done
        with pytest.raises(ResourceInUse, match="Kafka runs"):
            prepare(one, OTHERS, set())
    finally:
        done.set()
        kafka.join()
    assert log.read_bytes() == before


def test_data_of_several_brokers_with_other_users_are_refused(volumes: dict[int, Path]) -> None:
    prepare(volumes, PASSWORDS, set())
    logs = [run(data) for data in volumes.values()]
    prepare(volumes, PASSWORDS, set())
    before = [log.read_bytes() for log in logs]
    with pytest.raises(ConfigurationInvalid, match="down --wipe"):
        prepare(volumes, OTHERS, set())
    assert [log.read_bytes() for log in logs] == before
