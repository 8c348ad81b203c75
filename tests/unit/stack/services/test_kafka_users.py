"""What is written into Kafka's data; that Kafka understands it is seen in tests/kafka/test_access.py."""

from pathlib import Path

import pytest
from aiokafka.record.memory_records import MemoryRecords

from backend_demo.stack.services.kafka_rights import Right
from backend_demo.stack.services.kafka_users import BOOTSTRAP, FEATURES, write_users

PASSWORDS = {"kafka-admin": "one", "kafka-reader": "two"}
RIGHTS = {Right("kafka-reader", "read", "topic", "sensor-data")}

#: Records that a new cluster begins with.
NEW = len(FEATURES) + len(PASSWORDS) + len(RIGHTS)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def made_by_kafka(data: Path, content: bytes) -> Path:
    """A log that Kafka has written before."""
    (data / "__cluster_metadata-0").mkdir()
    log = data / "__cluster_metadata-0" / "00000000000000000000.log"
    log.write_bytes(content)
    return log


def a_batch(data: Path) -> bytes:
    """Something that Kafka could have written."""
    write_users(data, PASSWORDS, RIGHTS)
    return (data / BOOTSTRAP).read_bytes()


def offsets(log: bytes) -> list[list[int]]:
    """The offsets of every batch, whose checksums are right."""
    records, found = MemoryRecords(log), []
    while batch := records.next_batch():
        assert batch.validate_crc()
        found.append([record.offset for record in batch])
    return found


def test_a_new_cluster_is_given_them_with_their_rights_beside_its_features(data: Path) -> None:
    assert offsets(a_batch(data)) == [[*range(NEW)]]
    assert (data / BOOTSTRAP).stat().st_mode & 0o777 == 0o600


def test_a_new_cluster_that_never_ran_is_given_the_newest(data: Path) -> None:
    first = a_batch(data)
    write_users(data, {**PASSWORDS, "more": "three"}, RIGHTS)
    written = (data / BOOTSTRAP).read_bytes()
    assert first not in written
    assert offsets(written) == [[*range(NEW + 1)]]


def test_an_old_log_goes_on_with_them(data: Path) -> None:
    log = made_by_kafka(data, a_batch(data))
    write_users(data, {"kafka-admin": "other"}, RIGHTS)
    assert offsets(log.read_bytes()) == [[*range(NEW)], [NEW]]


def test_they_are_written_again_only_when_a_password_changes(data: Path) -> None:
    log = made_by_kafka(data, a_batch(data))
    write_users(data, PASSWORDS, RIGHTS)
    assert offsets(log.read_bytes()) == [[*range(NEW)]]
    for _ in range(2):
        write_users(data, {**PASSWORDS, "kafka-reader": "new"}, RIGHTS)
        assert offsets(log.read_bytes()) == [[*range(NEW)], [NEW, NEW + 1]]


def test_a_new_file_of_the_log_may_be_empty_still(data: Path) -> None:
    log = made_by_kafka(data, a_batch(data))
    newest = log.with_name(f"{NEW:020}.log")
    newest.touch()
    write_users(data, {"kafka-admin": "other"}, RIGHTS)
    assert (offsets(log.read_bytes()), offsets(newest.read_bytes())) == ([[*range(NEW)]], [[NEW]])


@pytest.mark.parametrize("kept", [5, 30, 70])
def test_a_batch_that_a_killed_kafka_has_not_finished_is_replaced(data: Path, kept: int) -> None:
    whole = a_batch(data)
    log = made_by_kafka(data, whole + whole[:kept])
    write_users(data, {"kafka-admin": "other"}, RIGHTS)
    assert offsets(log.read_bytes()) == [[*range(NEW)], [NEW]]


def test_a_broken_batch_is_replaced(data: Path) -> None:
    whole = a_batch(data)
    log = made_by_kafka(data, whole + whole[:-1] + b"?")
    write_users(data, {"kafka-admin": "other"}, RIGHTS)
    assert offsets(log.read_bytes()) == [[*range(NEW)], [NEW]]
