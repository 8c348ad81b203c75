"""The users of the stack's own Kafka, written into its data before it starts.

Kafka asks everybody for a user, itself included, so that the first ones cannot be made through it. Its own tool writes
them when it formats a data directory, in two seconds of a JVM, with passwords as arguments; this does the same without
either, and also for data that exist. A new cluster is given their rights too, so that services which start with it are
not refused before it is provisioned.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import struct
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from backend_demo.stack.services import scram
from backend_demo.stack.services.kafka_rights import Right, as_acl
from backend_demo.stack.services.scram import ITERATIONS, ScramKeys
from backend_demo.stack.state.files import write_private

#: How the stack's Kafka asks its clients who they are.
PROTOCOL, MECHANISM = "SASL_PLAINTEXT", scram.MECHANISM

CLIENT_SETTINGS = {"kafka_security_protocol": PROTOCOL, "kafka_sasl_mechanism": MECHANISM}

#: What a new cluster begins with.
BOOTSTRAP = "bootstrap.checkpoint"

#: The features of a new cluster with their levels: those that Kafka's own tool gives a cluster of our version of Kafka.
FEATURES = {
    "metadata.version": 29,
    "eligible.leader.replicas.version": 1,
    "group.version": 1,
    "share.version": 1,
    "streams.version": 1,
    "transaction.version": 2,
}

#: Which passwords Kafka's data hold.
_WRITTEN = "bdemo-users.json"

# UserScramCredentialRecord, FeatureLevelRecord, AccessControlEntryRecord, in Kafka's
# metadata/src/main/resources/common/metadata
_USER, _FEATURE, _ACL = 11, 12, 18
_SCRAM_SHA_512 = 2

# the head of a record batch: its base offset, the length of what follows, its epoch, 2, the checksum of the rest
_HEAD, _BEFORE_LENGTH_COUNTS = struct.Struct(">qiibI"), 12


def format_data(data: Path, *, node: int, cluster: str) -> None:
    """Makes a directory that of a broker's data, unless it is already; `cluster`: the id that all brokers share."""
    meta = data / "meta.properties"
    if not meta.exists():
        write_private(meta, f"version=1\nnode.id={node}\ncluster.id={cluster}\ndirectory.id={random_id()}\n")


def random_id() -> str:
    """A random id as Kafka writes them: 16 bytes in base64, and not like an option on a command line."""
    while (text := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return text


def write_users(data: Path, passwords: Mapping[str, str], rights: Iterable[Right]) -> None:
    """Makes sure that the Kafka of this data directory, which must not run, knows these users by these passwords.

    A new cluster is given its features and the rights, too; to one that has run, they are granted when it runs again. A
    user who is in a log twice is there once for Kafka, so that this may be killed at any point.
    """
    if has_run(data) and knows(data, passwords):
        return
    users = [_user(name, ScramKeys.of(password)) for name, password in passwords.items()]
    if has_run(data):
        _append(_logs(data), _batch(users))
    else:
        features = [_record(_FEATURE, _string(name), struct.pack(">h", level)) for name, level in FEATURES.items()]
        acls = [_acl(*as_acl(right)) for right in sorted(rights)]
        write_private(data / BOOTSTRAP, _batch([*features, *users, *acls]))
    write_private(data / _WRITTEN, json.dumps(_digests(passwords)))


def has_run(data: Path) -> bool:
    """Whether a Kafka has run with this data directory."""
    return any(log.stat().st_size for log in _logs(data))


def knows(data: Path, passwords: Mapping[str, str]) -> bool:
    """Whether these users have been written to this data directory, with these passwords."""
    written = data / _WRITTEN
    return written.exists() and json.loads(written.read_text()) == _digests(passwords)


def _logs(data: Path) -> list[Path]:
    return sorted((data / "__cluster_metadata-0").glob("*.log"))


def _digests(passwords: Mapping[str, str]) -> dict[str, str]:
    return {user: hashlib.sha256(password.encode()).hexdigest() for user, password in passwords.items()}


def _batch(records: Iterable[bytes]) -> bytes:
    from aiokafka.record.default_records import DefaultRecordBatchBuilder

    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip
    for offset, record in enumerate(records):
        builder.append(offset, timestamp=0, key=None, value=record, headers=[])
    return bytes(builder.build())


def _user(name: str, keys: ScramKeys) -> bytes:
    secret = _string(keys.salt) + _string(keys.stored_key) + _string(keys.server_key)
    return _record(_USER, _string(name), bytes([_SCRAM_SHA_512]), secret, struct.pack(">i", ITERATIONS))


def _acl(kind: int, name: str, pattern: int, principal: str, host: str, operation: int, permission: int) -> bytes:
    resource = bytes([kind]) + _string(name) + bytes([pattern])
    return _record(
        _ACL, uuid.uuid4().bytes, resource, _string(principal), _string(host), bytes([operation, permission])
    )


def _record(kind: int, *fields: bytes) -> bytes:
    """A record of version 0, without tagged fields."""
    return bytes([1, kind, 0]) + b"".join(fields) + b"\0"


def _string(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return bytes([len(data) + 1]) + data  # a length below 127 is one byte


def _append(logs: Sequence[Path], batch: bytes) -> None:
    """Appends a batch to a log of Kafka's, in the place of one that a killed Kafka had not finished.

    `logs`: its files, of which the newest may be empty still.
    """
    end = offset = epoch = 0
    for log in logs:
        if log.stat().st_size or log is logs[-1]:
            end, offset, epoch = _end_of(log.read_bytes(), offset, epoch)
    with logs[-1].open("r+b") as file:
        file.truncate(end)
        file.seek(end)
        # the checksum covers neither of the two
        _, length, _, magic, checksum = _HEAD.unpack_from(batch)
        file.write(_HEAD.pack(offset, length, epoch, magic, checksum) + batch[_HEAD.size :])
        file.flush()
        os.fsync(file.fileno())


def _end_of(log: bytes, offset: int, epoch: int) -> tuple[int, int, int]:
    """Where the last whole batch of a file ends: its position, the next offset, and the epoch.

    `offset` and `epoch`: those at its beginning.
    """
    from aiokafka.record.util import calc_crc32c

    end = 0
    while end + _HEAD.size <= len(log):
        base, length, its_epoch, _, checksum = _HEAD.unpack_from(log, end)
        next_one = end + _BEFORE_LENGTH_COUNTS + length
        body = log[end + _HEAD.size : next_one]
        if next_one > len(log) or calc_crc32c(body) != checksum:
            break
        (last_delta,) = struct.unpack_from(">i", body, 2)
        end, offset, epoch = next_one, base + last_delta + 1, its_epoch
    return end, offset, epoch
