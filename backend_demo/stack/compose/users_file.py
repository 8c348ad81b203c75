"""The users file of a compose stack, which is in a volume: read and written by a container of its own.

As a program it is that container's: it replaces the file by what it reads from stdin, if the file is still the one
whose digest it is given.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from backend_demo.errors import ConfigurationInvalid, ResourceInUse, ServiceFailed
from backend_demo.mqtt.users_file import UserEntry, serialise
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.compose.project import image
from backend_demo.stack.services.mqtt_users import FILE, SETUP_FOLDER, VOLUME
from backend_demo.stack.state.files import write_private
from backend_demo.stack.state.locks import LOCK_WAIT_S, Locks
from backend_demo.stack.state.users_file import LOCK, Change, users_in

#: What the program prints, when it has written the file and when somebody else has done so before.
WRITTEN, CHANGED = "written", "changed"

#: Edits that come in between before an edit is given up.
ATTEMPTS = 5

_FILE = f"{SETUP_FOLDER}/{FILE}"


class ContainerUsersFile:
    """The users file in the volume of a project."""

    def __init__(self, project: str) -> None:
        self._volume = f"{project}_{VOLUME}"

    def read(self) -> dict[str, UserEntry]:
        """As `UsersFile.read`. Raises also PrerequisiteMissing, ServiceFailed, TimedOut."""
        return self._users_in(self._text())

    def edit(self, change: Change) -> None:
        """As `UsersFile.edit`. Raises also PrerequisiteMissing, ServiceFailed, TimedOut."""
        for _ in range(ATTEMPTS):
            before = self._text()
            after = serialise(change(self._users_in(before)))
            said = self._run("python", "-m", __name__, _digest(before.encode()), stdin=after)
            if said.strip() == WRITTEN:
                return
        raise ResourceInUse("others are editing the MQTT users at the same time", hint="run this command again")

    def _text(self) -> str:
        return self._run("sh", "-c", f"[ ! -e {_FILE} ] || cat {_FILE}")

    def _users_in(self, text: str) -> dict[str, UserEntry]:
        return users_in(text, f"the volume {self._volume}") if text else {}

    def _run(self, *command: str, stdin: str = "") -> str:
        mount = f"type=volume,source={self._volume},target={SETUP_FOLDER}"
        hardened = ("--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        try:
            return compose_docker.ask(
                *("run", "--rm", "--interactive", "--pull", "never", *hardened, "--mount", mount, image(), *command),
                stdin=stdin,
            )
        except ServiceFailed as problem:
            raise ServiceFailed(
                f"cannot reach the MQTT users in the volume {self._volume}: {problem.message}",
                hint=f"if there is no image {image()}, bdemo up --stack compose builds it",
            ) from problem


def replace(file: Path, text: str, expected: str) -> bool:
    """Replaces the file, if its digest is the expected one. Raises ConfigurationInvalid, ResourceInUse."""
    users_in(text, "stdin")  # whole: a client that is killed closes stdin early
    with Locks(file.parent).hold(LOCK, wait_s=LOCK_WAIT_S):
        if _digest(file.read_bytes() if file.exists() else b"") != expected:
            return False
        write_private(file, text)
        return True


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def main() -> None:
    """The program inside the container."""
    try:
        done = replace(Path(_FILE), sys.stdin.read(), sys.argv[1])
    except (ConfigurationInvalid, ResourceInUse) as problem:
        sys.exit(problem.message)
    sys.stdout.write(WRITTEN if done else CHANGED)


if __name__ == "__main__":
    main()
