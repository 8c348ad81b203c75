"""`bdemo mqtt user`: add, list and remove, and what is refused."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend_demo.cli.main import main
from backend_demo.cli.mqtt.user_add import command, topic_within
from backend_demo.mqtt.filters import matches
from backend_demo.mqtt.users import Rights, Users
from backend_demo.settings import Settings
from backend_demo.stack.compose.project import Project
from backend_demo.stack.services import mqtt_users
from backend_demo.stack.services.mqtt_users import STANDARD
from backend_demo.stack.state.directory import StateDirectory
from tests.support.schemas import check

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path / "state")
    state.create(STANDARD)
    mqtt_users.keep(state.mqtt_users_file, state.secrets.of)
    return state


@pytest.fixture
def run(state: StateDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs `bdemo mqtt user` in this process: exit code, stdout, stderr."""

    def run(*words: str, state_dir: Path | None = state.path) -> tuple[int, str, str]:
        here = ["--state-dir", str(state_dir)] if state_dir else []
        monkeypatch.setattr("sys.argv", ["bdemo", "mqtt", "user", *words, *here])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    monkeypatch.setenv("BDEMO_STATE_DIR", str(state.path))
    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


def rights_of(file: Path, name: str, password: str) -> Rights | None:
    """What a server with this file allows."""

    async def ask() -> Rights | None:
        users = Users(file)
        found = await users.check(name, password.encode())
        users.close()
        return found

    return asyncio.run(ask())


def test_a_user_that_was_added_has_its_rights_until_it_is_removed(run: Run, state: StateDirectory) -> None:
    code, out, _ = run("add", "kitchen", "--publish", "sensors/7/#", "--subscribe", "sensors/#", "-o", "json")
    added = json.loads(out)
    check(added)
    assert code == 0
    rights = Rights(("sensors/7/#",), ("sensors/#",))
    assert rights_of(state.mqtt_users_file, "kitchen", added["password"]) == rights
    assert added["password"] not in state.mqtt_users_file.read_text()
    code, out, _ = run("rm", "kitchen", "-o", "json")
    check(json.loads(out))
    assert code == 0
    assert rights_of(state.mqtt_users_file, "kitchen", added["password"]) is None


def test_the_stacks_own_users_work_beside_it(run: Run, state: StateDirectory) -> None:
    run("add", "kitchen", "--publish", "sensors/7/#")
    for name, rights in STANDARD.items():
        assert rights_of(state.mqtt_users_file, name, state.secrets.of(name)) == rights


def test_people_see_the_password_once_with_a_command_that_is_ready(run: Run) -> None:
    code, out, err = run("add", "kitchen", "--publish", "sensors/7/#")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["user", "kitchen"]
    password = lines[1].split()[1]
    assert lines[2].split() == ["publish", "sensors/7/#"]
    words = shlex.split(lines[4])
    assert words[0] == "mosquitto_pub"
    assert words[words.index("-P") + 1] == password
    assert words[words.index("-t") + 1] == "sensors/7/temperature"
    assert json.loads(words[words.index("-m") + 1])["value"] == 21.5
    assert "not stored" in err
    assert password not in run("ls")[1]


def test_the_command_uses_the_ports_of_the_stack(run: Run, state: StateDirectory) -> None:
    state.record.save(Settings(state_dir=state.path, mqtt_port=11883))
    assert json.loads(run("add", "kitchen", "--publish", "#", "-o", "json")[1])["port"] == 11883


def test_who_may_only_subscribe_is_shown_how() -> None:
    line = command("hall", "secret", (), ("sensors/#",), "127.0.0.1", 1883)
    assert line == "mosquitto_sub -h 127.0.0.1 -p 1883 -u hall -P secret -q 1 -v -t 'sensors/#'"


@pytest.mark.parametrize("topic_filter", ["#", "+", "/#", "sensors/#", "sensors/+/temperature", "a b/+/ü/#", "plain"])
def test_the_topic_of_the_command_is_one_that_the_user_may_use(topic_filter: str) -> None:
    assert matches(topic_filter, topic_within(topic_filter))


def test_users_are_listed_the_stacks_own_first(run: Run) -> None:
    run("add", "a-first", "--publish", "sensors/7/#", "--publish", "sensors/8/#")
    code, out, _ = run("ls", "-o", "json")
    found = json.loads(out)
    check(found)
    assert code == 0
    assert [row["user"] for row in found["users"]] == ["bridge", "observer", "sensor", "a-first"]
    assert [row["standard"] for row in found["users"]] == [True, True, True, False]
    assert found["users"][-1]["publish"] == ["sensors/7/#", "sensors/8/#"]
    assert "a-first" in run("ls")[1]


@pytest.mark.parametrize(
    ("words", "code", "error", "hint"),
    [
        (["add", "pump", "--publish", "#"], 2, "there is a user pump already", "bdemo mqtt user rm pump"),
        (["add", "sensor", "--publish", "#"], 2, "sensor is a user of the stack itself", "choose another name"),
        (["add", "a b", "--publish", "#"], 2, "invalid name 'a b'", "kitchen-sensor"),
        (["add", "", "--publish", "#"], 2, "invalid name ''", "kitchen-sensor"),
        (["add", "x" * 65, "--publish", "#"], 2, "invalid name", "kitchen-sensor"),
        (["add", "x", "--publish", "a/#/b"], 2, "--publish: invalid MQTT filter 'a/#/b'", "--publish 'sensors/7/#'"),
        (["add", "x", "--subscribe", ""], 2, "--subscribe: invalid MQTT filter ''", "--subscribe 'sensors/7/#'"),
        (["add", "x"], 2, "x would have no rights", "--publish"),
        (["rm", "bridge"], 2, "bridge is a user of the stack itself", "only users that were added"),
        (["rm", "pomp"], 9, "unknown user 'pomp'", "did you mean pump?"),
    ],
)
def test_what_is_refused_is_told_and_changes_nothing(
    run: Run, state: StateDirectory, words: list[str], code: int, error: str, hint: str
) -> None:
    run("add", "pump", "--publish", "#")
    before = state.mqtt_users_file.read_bytes()
    got, out, err = run(*words)
    assert (got, out) == (code, "")
    lines = err.splitlines()
    assert lines[0].startswith(f"error: {error}")
    assert lines[1].startswith("hint: ")
    assert hint in lines[1]
    assert state.mqtt_users_file.read_bytes() == before


def test_without_a_stack_there_are_no_users(run: Run, tmp_path: Path) -> None:
    none = tmp_path / "none"
    for words in (["ls"], ["add", "pump", "--publish", "#"], ["rm", "pump"]):
        assert run(*words, state_dir=none)[0] == 7
    assert not none.exists()


def test_the_file_in_the_settings_is_the_one_unless_a_stack_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BDEMO_MQTT_USERS_FILE", str(tmp_path / "other.json"))
    assert run("add", "pump", "--publish", "#", state_dir=None)[0] == 0
    assert "pump" in (tmp_path / "other.json").read_text()
    assert "pump" not in run("ls")[1]
    assert "pump" in run("ls", state_dir=None)[1]


def test_mosquitto_has_users_of_its_own(run: Run, state: StateDirectory) -> None:
    settings = Settings(state_dir=state.path, stack="compose", profiles=("mosquitto",))
    Project(state).save(settings, offset=0, any_port=True)
    code, _, err = run("ls")
    assert code == 3
    assert "is mosquitto, which has users of its own" in err
