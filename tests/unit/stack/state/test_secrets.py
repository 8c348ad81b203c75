"""Passwords: made once, and used by who attaches to the running stack."""

from __future__ import annotations

import json

import pytest

from backend_demo.errors import NoStack
from backend_demo.settings import Settings
from backend_demo.stack.services.table import users
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.files import write_private


def test_passwords_are_made_once_and_differ(state: StateDirectory) -> None:
    passwords = json.loads(state.secrets_file.read_text())
    assert tuple(passwords) == users()
    assert len(set(passwords.values())) == len(passwords)
    state.create(users())
    assert json.loads(state.secrets_file.read_text()) == passwords


def test_attached_settings_lead_to_the_running_stack(state: StateDirectory) -> None:
    state.record.save(Settings(state_dir=state.path, postgres_port=15432, mqtt_port=11883))
    attached = state.attached(Settings(), mqtt="bridge", postgres="bdemo_reader")
    assert attached.postgres_dsn.startswith("postgresql://bdemo_reader:")
    assert attached.postgres_dsn.endswith("@127.0.0.1:15432/temperature")
    assert (attached.mqtt_username, attached.mqtt_password) == ("bridge", state.secrets.of("bridge"))


def test_the_broker_of_a_bridge_has_a_user_of_its_own(state: StateDirectory) -> None:
    state.record.save(Settings(state_dir=state.path, mqtt_source="bridge", mqtt_host="broker.example"))
    attached = state.attached(Settings(mqtt_username="me", mqtt_password="mine"), mqtt="bridge")
    assert (attached.mqtt_host, attached.mqtt_username, attached.mqtt_password) == ("broker.example", "me", "mine")


def test_a_compose_stack_has_passwords_of_its_own(state: StateDirectory) -> None:
    state.compose.mkdir()
    write_private(state.compose_secrets_file, '{"sensor": "from the container"}')
    state.record.save(Settings(state_dir=state.path))
    assert state.secrets.of("sensor") != "from the container"
    state.record.save(Settings(state_dir=state.path, stack="compose"))
    assert state.secrets.of("sensor") == "from the container"
    with pytest.raises(NoStack):
        state.secrets.of("bridge")
