"""The MQTT users of a running stack: its own are right, and those that are added stay."""

from __future__ import annotations

import pytest

from backend_demo.errors import UsageError
from backend_demo.mqtt.users_file import Rights
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.mqtt_users import users_of
from backend_demo.stack.services.mqtt_users import STANDARD
from backend_demo.stack.state.directory import StateDirectory
from tests.support.engine import LEFT_OUT


def test_the_stacks_own_users_have_the_passwords_of_its_secrets(stack: Stack, settings: Settings) -> None:
    found = users_of(settings.state_dir).store.read()
    secrets = StateDirectory(settings.state_dir).secrets
    for name, rights in STANDARD.items():
        assert found[name].rights == rights
        assert found[name].password.accepts(secrets.of(name).encode())


def test_a_user_that_is_added_stays_until_it_is_removed(stack: Stack, settings: Settings) -> None:
    users, rights = users_of(settings.state_dir), Rights(publish=("sensors/7/#",))
    users.add("kitchen", rights)
    try:
        with pytest.raises(UsageError, match="there is a user kitchen already"):
            users.add("kitchen", rights)
        stack.up((), lambda status: None, without=LEFT_OUT)
        assert users.all() == {**{name: STANDARD[name] for name in sorted(STANDARD)}, "kitchen": rights}
    finally:
        users.remove("kitchen")
    assert set(users.all()) == set(STANDARD)
