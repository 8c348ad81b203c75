"""The one-shot `migrate`: makes what the servers must hold, once they answer: topics, a limit of a store, tables.

Runs in the image, by compose.yaml, with the servers to provision as arguments.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from typing import Any

import structlog

from backend_demo import settings as settings_module
from backend_demo.errors import BdemoError, ServiceFailed, UnknownName
from backend_demo.log import failed, set_up
from backend_demo.settings_sources import SECRETS_DIR
from backend_demo.stack.services.container import SETTINGS, Alias, environment
from backend_demo.stack.services.service import Passwords, ServerAccess, Service
from backend_demo.stack.services.table import SERVICES

NAME = "migrate"

#: The passwords of all users of the servers.
PASSWORDS = "passwords.json"

log = structlog.get_logger("backend_demo.stack.compose.migrate")  # it runs as __main__


def servers(table: Mapping[str, Service] = SERVICES) -> list[str]:
    """The servers that must hold something."""
    return [name for name, service in table.items() if service.provision]


def command(names: Collection[str]) -> list[str]:
    """How it is started."""
    return ["python", "-m", "backend_demo.stack.compose.migrate", *names]


def container() -> dict[str, Any]:
    """The compose service."""
    return {
        "<<": Alias("once"),
        "command": command(servers()),
        "environment": {"<<": SETTINGS, **environment({"topic_replication": "1"})},
        "depends_on": {name: {"condition": "service_healthy"} for name in servers()},
    }


def secret_files(passwords: Passwords) -> dict[str, str]:
    """The files in its /run/secrets, by name."""
    users = [user for name in servers() for user in SERVICES[name].users]
    return {PASSWORDS: json.dumps({user: passwords[user] for user in users})}


def main() -> None:
    """Provisions the servers that are named, in that order."""
    set_up("info")
    try:
        settings = settings_module.load()
        set_up(settings.log_level, form=settings.log_format)
        passwords = _passwords()
        for name in sys.argv[1:]:
            provision = SERVICES[name].provision if name in SERVICES else None
            if provision is None:
                raise UnknownName("server", name, servers())
            provision(ServerAccess(name, settings.model_dump(), passwords.__getitem__))
            log.info("done", server=name)
    except BdemoError as problem:
        sys.exit(failed(problem))


def _passwords() -> dict[str, str]:
    file = SECRETS_DIR / PASSWORDS
    try:
        return {str(user): str(password) for user, password in json.loads(file.read_text()).items()}
    except (OSError, ValueError) as problem:
        raise ServiceFailed(f"cannot read {file}: {problem}", hint="see: bdemo logs setup") from problem


if __name__ == "__main__":
    main()
