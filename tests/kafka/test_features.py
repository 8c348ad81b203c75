"""What a new cluster begins with: the same as Kafka's own tool gives it."""

from __future__ import annotations

import struct
from pathlib import Path

from aiokafka.record.memory_records import MemoryRecords

from backend_demo.stack.services.kafka_users import BOOTSTRAP, FEATURES, write_users
from tests.kafka.conftest import Others

#: FeatureLevelRecord.
FEATURE = 12


def features_in(checkpoint: bytes) -> dict[str, int]:
    found, records = {}, MemoryRecords(checkpoint)
    while batch := records.next_batch():
        for record in () if batch.is_control_batch else batch:
            _, kind, _, length = record.value[:4]
            if kind == FEATURE:
                name, rest = record.value[4 : 3 + length], record.value[3 + length :]
                (found[name.decode()],) = struct.unpack_from(">h", rest)
    return found


def test_a_new_cluster_has_the_features_of_this_version_of_kafka(others: Others, tmp_path: Path) -> None:
    write_users(tmp_path, {"somebody": "secret"}, set())
    assert features_in((tmp_path / BOOTSTRAP).read_bytes()) == features_in(others.beginning.read_bytes()) == FEATURES
