"""The one-shot `setup`: makes passwords and configuration files, before the servers start.

Runs in the image, by compose.yaml. A folder below /secrets is a volume that one service sees as /run/secrets, so each
reads what it needs and no more. Passwords are made once and stay.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from backend_demo import settings as settings_module
from backend_demo.errors import BdemoError
from backend_demo.log import failed, set_up
from backend_demo.settings import Settings
from backend_demo.stack.compose import migrate
from backend_demo.stack.services import mqtt_users
from backend_demo.stack.services.container import SETTINGS, Alias, Note, environment
from backend_demo.stack.services.service import Passwords, Variable
from backend_demo.stack.services.table import every_service, users
from backend_demo.stack.state.files import write_private

NAME = "setup"

FOLDER = Path("/secrets")

USERS_FILE = Path(mqtt_users.SETUP_FOLDER, mqtt_users.FILE)

VARIABLES = (Variable("PYTHON_VERSION", "3.13-slim"),)

log = structlog.get_logger("backend_demo.stack.compose.setup")  # it runs as __main__


def container() -> dict[str, Any]:
    """The compose service, which also builds the image."""
    (python,) = VARIABLES
    return {
        "<<": Alias("once"),
        "build": {
            "context": str(Variable("BUILD_CONTEXT", "..")),
            "dockerfile": "compose/Dockerfile",
            "args": {python.name: str(python)},
        },
        "command": ["python", "-m", "backend_demo.stack.compose.setup"],
        # also for `docker compose run --rm setup bdemo mqtt user ...`
        "environment": {"<<": SETTINGS, **environment({"mqtt_users_file": str(USERS_FILE)})},
        "volumes": [
            *(f"{name}-secrets:{FOLDER}/{name}" for name in readers()),
            Note("so that mosquitto, which runs as our user, may write there", "mosquitto-data:/data/mosquitto"),
            f"{mqtt_users.VOLUME}:{mqtt_users.SETUP_FOLDER}",
        ],
    }


def readers() -> list[str]:
    """What is given secret files: itself, `migrate`, services and what prepares their data."""
    services = every_service().values()
    before = (service.before_name for service in services if service.before)
    return [NAME, migrate.NAME, *before, *(service.name for service in services if service.secret_files)]


def files(settings: Settings, passwords: Passwords) -> dict[str, str]:
    """The text of each file, by its path below /secrets."""
    found: dict[str, Mapping[str, str]] = {migrate.NAME: migrate.secret_files(passwords)}
    for name, service in every_service().items():
        if service.before:
            found[service.before_name] = service.before.secret_files(passwords)
        if service.secret_files:
            found[name] = service.secret_files(settings, passwords)
    return {f"{reader}/{name}": text for reader, texts in found.items() for name, text in texts.items()}


def make_files(settings: Settings) -> None:
    """Writes every password, and every file that a service or a server reads."""
    passwords = passwords_in(FOLDER / NAME / "secrets.json")
    services = every_service().values()
    # they run as another user than ours; nobody else sees their volumes
    others = {each.name for each in services if each.image_user} | {
        each.before_name for each in services if each.before
    }
    for name, text in files(settings, passwords).items():
        write_private(FOLDER / name, text)
        if name.partition("/")[0] in others:
            (FOLDER / name).chmod(0o444)
    mqtt_users.keep(USERS_FILE, passwords.__getitem__)


def passwords_in(file: Path) -> dict[str, str]:
    """The passwords in a file; makes those that it lacks, and adds them to it."""
    found = json.loads(file.read_text()) if file.exists() else {}
    passwords = {user: str(found.get(user) or secrets.token_urlsafe(18)) for user in users(every_service())}
    if passwords != found:
        write_private(file, json.dumps(passwords))
    return passwords


def main() -> None:
    """Makes the files."""
    set_up("info")
    try:
        settings = settings_module.load()
        set_up(settings.log_level, form=settings.log_format)
        make_files(settings)
        log.info("done")
    except BdemoError as problem:
        sys.exit(failed(problem))


if __name__ == "__main__":
    main()
