"""The users file of a compose stack: what the container's program writes, and what it refuses."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from backend_demo.errors import ConfigurationInvalid
from backend_demo.mqtt.passwords import HashCost, StoredPassword
from backend_demo.mqtt.users_file import Rights, UserEntry, serialise
from backend_demo.stack.compose.users_file import replace

TEXT = serialise({"pump": UserEntry(StoredPassword(HashCost(4), b"s" * 16, b"d" * 32), Rights(publish=("#",)))})
NOTHING = hashlib.sha256(b"").hexdigest()


def test_it_replaces_the_file_that_was_read_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    assert replace(file, TEXT, NOTHING)
    assert file.read_text() == TEXT
    assert file.stat().st_mode & 0o777 == 0o600
    assert not replace(file, serialise({}), NOTHING)
    assert file.read_text() == TEXT
    assert replace(file, serialise({}), hashlib.sha256(TEXT.encode()).hexdigest())
    assert file.read_text() == serialise({})


def test_a_text_that_ends_early_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    for text in ("", TEXT[: len(TEXT) // 2]):
        with pytest.raises(ConfigurationInvalid):
            replace(file, text, NOTHING)
    assert not file.exists()
