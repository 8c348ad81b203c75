"""The text of `users.json`: who may connect over MQTT, and what each user may publish and subscribe to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backend_demo.mqtt.filters import covers, filter_problem, matches
from backend_demo.mqtt.passwords import StoredPassword

SCHEMA = "bdemo.mqtt-users/1"

#: Most filters of one right: each message is compared with all of them.
FILTERS_MAX = 64

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


@dataclass(frozen=True)
class Rights:
    """The topic filters to which a user may publish, and those to which it may subscribe."""

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    login: str = field(default="", compare=False, repr=False)
    """Another text for each password: a connection that was made with an older one must end."""

    def may_publish(self, topic: str) -> bool:
        """Whether a filter allows this topic."""
        return any(matches(granted, topic) for granted in self.publish)

    def may_subscribe(self, topic_filter: str) -> bool:
        """Whether one filter allows every topic that `topic_filter` matches."""
        return any(covers(granted, topic_filter) for granted in self.subscribe)


@dataclass(frozen=True)
class UserEntry:
    """What the file holds of one user."""

    password: StoredPassword
    rights: Rights


def name_problem(name: str) -> str:
    """What is wrong with the name of a user; empty when nothing is."""
    return "" if _NAME.fullmatch(name) else "a name has 1 to 64 letters, digits and . _ - only"


def parse(text: str | bytes) -> dict[str, UserEntry]:
    """The users in the text of a file, by name. Raises ValueError, which says what is wrong and never what it holds."""
    try:
        document = json.loads(text)
    except ValueError:
        raise ValueError("not JSON") from None  # a UnicodeDecodeError is one
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    if document.get("schema") != SCHEMA:
        raise ValueError(f"written by another version of bdemo (schema {str(document.get('schema'))[:40]!r})")
    users = document.get("users")
    if not isinstance(users, dict):
        raise ValueError("`users` is missing")
    return {_checked_name(name): _entry(name, entry) for name, entry in users.items()}


def serialise(users: Mapping[str, UserEntry]) -> str:
    """The text of a file with these users, one per line."""
    lines = [
        f"  {json.dumps(name)}: "
        + json.dumps(
            {"password": str(entry.password), "publish": entry.rights.publish, "subscribe": entry.rights.subscribe},
            ensure_ascii=False,
        )
        for name, entry in users.items()
    ]
    return f'{{"schema": "{SCHEMA}", "users": {{\n' + ",\n".join(lines) + "\n}}\n"


def _checked_name(name: str) -> str:
    if problem := name_problem(name):
        raise ValueError(f"invalid user {name[:64]!r}: {problem}")
    return name


def _entry(name: str, entry: Any) -> UserEntry:
    if not isinstance(entry, dict) or not isinstance(entry.get("password"), str):
        raise ValueError(f"user {name!r} has no password")
    try:
        password = StoredPassword.parse(entry["password"])
        publish, subscribe = (_filters(entry.get(right, [])) for right in ("publish", "subscribe"))
    except ValueError as problem:
        raise ValueError(f"user {name!r}: {problem}") from None
    return UserEntry(password, Rights(publish, subscribe, login=password.salt.hex()))


def _filters(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise ValueError("a right is a list of MQTT topic filters")
    return checked_filters(given)


def checked_filters(filters: Iterable[str]) -> tuple[str, ...]:
    """The filters, each once. Raises ValueError when one is invalid or there are too many."""
    found = tuple(dict.fromkeys(filters))
    if len(found) > FILTERS_MAX:
        raise ValueError(f"{len(found)} filters; a right has at most {FILTERS_MAX}")
    for each in found:
        if problem := filter_problem(each):
            raise ValueError(f"invalid MQTT filter {each[:100]!r}: {problem}")
    return found
