"""The MQTT users of the stack itself, in the file where those of `bdemo mqtt user` stand as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from backend_demo.mqtt.passwords import RANDOM_COST, StoredPassword
from backend_demo.mqtt.users_file import Rights, UserEntry
from backend_demo.stack.services.service import Passwords
from backend_demo.stack.state.users_file import UsersFile

#: The volume with the file, which the containers of MQTT and of the gateway read, and only `setup` may write.
VOLUME = "mqtt-users"
FILE = "users.json"
#: Where `setup` has it, and where a container that reads it.
SETUP_FOLDER = "/data/mqtt-users"
_READER_FOLDER = "/run/mqtt-users"
READER_FILE = f"{_READER_FOLDER}/{FILE}"

#: Sensors publish, the bridge and whoever looks on subscribe.
STANDARD: Mapping[str, Rights] = {
    "sensor": Rights(publish=("#",)),
    "bridge": Rights(subscribe=("#",)),
    "observer": Rights(subscribe=("#",)),
}


def standard_users(passwords: Passwords) -> dict[str, UserEntry]:
    """The stack's own users, with these passwords."""
    return {
        name: UserEntry(StoredPassword.of(passwords[name].encode(), RANDOM_COST), rights)
        for name, rights in STANDARD.items()
    }


def repaired(found: Mapping[str, UserEntry], passwords: Passwords) -> dict[str, UserEntry]:
    """The users, with those of the stack as they must be; what is right already stays the same."""
    wrong = {
        name
        for name, rights in STANDARD.items()
        if name not in found
        or found[name].rights != rights
        or not found[name].password.accepts(passwords[name].encode())
    }
    if not wrong:
        return dict(found)
    fresh = standard_users(passwords)
    standard = {name: fresh[name] if name in wrong else found[name] for name in STANDARD}
    return {**standard, **{name: entry for name, entry in found.items() if name not in STANDARD}}


def keep(file: Path, password: Callable[[str], str]) -> None:
    """Makes the users file, or repairs the stack's own users in it. Takes about 15 ms.

    Raises ConfigurationInvalid, ResourceInUse.
    """
    passwords = {name: password(name) for name in STANDARD}
    UsersFile(file).edit(lambda found: repaired(found, passwords))


def volume() -> dict[str, object]:
    """The mount of the users file, for a container that reads it."""
    return {
        "type": "volume",
        "source": VOLUME,
        "target": _READER_FOLDER,
        "read_only": True,
        "volume": {"nocopy": True},
    }
