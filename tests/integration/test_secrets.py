"""`bdemo secrets`: on a stack of its own, which is stopped and started again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from backend_demo.adapters import kafka_refusal
from backend_demo.errors import NoStack
from backend_demo.settings import Settings
from backend_demo.stack.embedded.stack import EmbeddedStack
from backend_demo.stack.services import kafka
from backend_demo.stack.services.table import users
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_READER
from tests.support.kafka import brokers
from tests.support.shell import Shell


@pytest.fixture(scope="module")
def bdemo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("secrets") / "state"
    stack = EmbeddedStack(folder, Settings(state_dir=folder, kafka_heap_mb=300), any_port=True)
    try:
        stack.up(("mqtt", "postgres"), lambda status: None, scale={"mqtt": 2})
        yield Shell(folder)
    finally:
        stack.down(wipe=True)


def attached(bdemo: Shell) -> Settings:
    return StateDirectory(bdemo.state_dir).attached(Settings())


def who_gets_in(settings: Settings) -> set[str]:
    """The servers that take these credentials."""

    async def look() -> set[str]:
        found = set()
        if await kafka_refusal.refusal(brokers(settings)) is None:
            found.add("kafka")
        try:
            await (await asyncpg.connect(settings.postgres_dsn)).close()
        except asyncpg.InvalidPasswordError:
            return found
        return {*found, "postgres"}

    return asyncio.run(look())


def test_each_secret_is_listed_with_who_uses_it_and_without_its_value(bdemo: Shell) -> None:
    printed = bdemo("secrets", "ls", "-o", "json").stdout
    found = {row["name"]: (row["checked_by"], row["used_by"]) for row in json.loads(printed)["secrets"]}
    secrets = StateDirectory(bdemo.state_dir).secrets
    assert set(found) == set(secrets.names()) == {*users(), *kafka.users()}
    assert found["kafka-loader"] == ("kafka", ["loader"])
    assert found["bdemo_reader"] == ("postgres", ["gateway"])
    assert found["sensor"] == ("mqtt", ["gateway"])
    assert not [name for name in found if secrets.of(name) in printed]


def test_one_is_shown(bdemo: Shell) -> None:
    assert bdemo("secrets", "show", KAFKA_READER).stdout.strip() == attached(bdemo).kafka_password
    assert "did you mean kafka-reader" in bdemo("secrets", "show", "kafka-readr", code=9).stderr


def test_the_superusers_stays(bdemo: Shell) -> None:
    assert "the password of postgres stays" in bdemo("secrets", "rotate", "postgres", code=2).stderr


def test_a_running_stack_goes_on_with_new_ones(bdemo: Shell) -> None:
    before, state = attached(bdemo), StateDirectory(bdemo.state_dir)
    record, secrets = state.record.settings(), {name: state.secrets.of(name) for name in state.secrets.names()}
    assert who_gets_in(before) == {"kafka", "postgres"}
    done = json.loads(bdemo("secrets", "rotate", "-o", "json").stdout)
    assert (set(done["rotated"]), done["restarted"]) == ({*secrets} - {"postgres"}, True)
    assert not [name for name in secrets if name != "postgres" and state.secrets.of(name) == secrets[name]]
    assert who_gets_in(before) == set()
    assert who_gets_in(attached(bdemo)) == {"kafka", "postgres"}
    assert (state.record.settings(), state.record.copies()["mqtt"]) == (record, 2)


def test_a_stopped_one_starts_with_new_ones(bdemo: Shell, tmp_path: Path) -> None:
    before = attached(bdemo)
    bdemo("down")
    done = json.loads(bdemo("secrets", "rotate", "bdemo", KAFKA_READER, "-o", "json").stdout)
    assert (done["rotated"], done["restarted"]) == (["bdemo", KAFKA_READER], False)
    bdemo("up", "mqtt", "postgres", "--any-port")
    after = attached(bdemo)
    assert after.mqtt_password == before.mqtt_password
    assert after.kafka_password != before.kafka_password
    assert who_gets_in(after) == {"kafka", "postgres"}


def test_without_a_stack_there_are_none(tmp_path: Path) -> None:
    for words in (["ls"], ["show", "sensor"], ["rotate"]):
        assert "no stack" in Shell(tmp_path / "none")("secrets", *words, code=NoStack.exit_code).stderr
