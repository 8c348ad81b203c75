"""The stack's own MQTT users: what they may do, and that `up` keeps them right and leaves the others alone."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from backend_demo.mqtt.passwords import HashCost, StoredPassword
from backend_demo.mqtt.users_file import Rights, UserEntry
from backend_demo.stack.services import mqtt_users
from backend_demo.stack.services.mqtt_users import STANDARD, repaired, standard_users
from backend_demo.stack.state.secrets import MqttUser
from backend_demo.stack.state.users_file import UsersFile

PASSWORDS = {name: f"password of {name}" for name in STANDARD}
OWN = UserEntry(StoredPassword(HashCost(4), b"s" * 16, b"d" * 32), Rights(publish=("sensors/7/#",)))


def test_they_are_the_users_whose_passwords_the_stack_makes() -> None:
    assert set(STANDARD) == set(get_args(MqttUser))


def test_sensors_publish_and_the_others_subscribe() -> None:
    may = {
        name: (rights.may_publish("sensors/7/temperature"), rights.may_subscribe("#"))
        for name, rights in STANDARD.items()
    }
    assert may == {"sensor": (True, False), "bridge": (False, True), "observer": (False, True)}


def test_each_has_its_password() -> None:
    for name, entry in standard_users(PASSWORDS).items():
        assert entry.password.accepts(PASSWORDS[name].encode())
        assert not entry.password.accepts(b"password of another")


def test_what_is_right_stays_as_it_is() -> None:
    found = {**standard_users(PASSWORDS), "pump": OWN}
    assert repaired(found, PASSWORDS) == found


@pytest.mark.parametrize("name", STANDARD)
def test_one_that_is_wrong_or_missing_is_repaired_and_the_others_stay(name: str) -> None:
    whole = {**standard_users(PASSWORDS), "pump": OWN}
    without = {other: entry for other, entry in whole.items() if other != name}
    other_password = UserEntry(StoredPassword.of(b"other", HashCost(4)), STANDARD[name])
    other_rights = UserEntry(whole[name].password, Rights(publish=("$SYS/#",)))
    for found in (without, {**whole, name: other_password}, {**whole, name: other_rights}):
        users = repaired(found, PASSWORDS)
        assert list(users) == [*STANDARD, "pump"]
        assert users[name].rights == STANDARD[name]
        assert users[name].password.accepts(PASSWORDS[name].encode())
        assert {other: users[other] for other in without} == without


def test_the_file_is_made_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    mqtt_users.keep(file, PASSWORDS.__getitem__)
    UsersFile(file).edit(lambda found: {**found, "pump": OWN})
    before = file.read_bytes()
    mqtt_users.keep(file, PASSWORDS.__getitem__)
    assert file.read_bytes() == before
    mqtt_users.keep(file, {**PASSWORDS, "sensor": "another"}.__getitem__)
    users = UsersFile(file).read()
    assert users["sensor"].password.accepts(b"another")
    assert users["pump"] == OWN
