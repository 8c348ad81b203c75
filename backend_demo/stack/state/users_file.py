"""The file with the MQTT users: read as a whole, edited under a lock, replaced at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from backend_demo.errors import ConfigurationInvalid
from backend_demo.mqtt.users_file import UserEntry, parse, serialise
from backend_demo.stack.state.files import write_private
from backend_demo.stack.state.locks import LOCK_WAIT_S, Locks

UserEntries = Mapping[str, UserEntry]
"""Users by name, in the order in which they were added."""

Change = Callable[[UserEntries], UserEntries]
"""What an edit makes of the users; it may raise, and then nothing is written."""

#: Held during an edit, in the folder of the file.
LOCK = "users.lock"


class UsersFile:
    """The users file of one stack."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> dict[str, UserEntry]:
        """The users; none when there is no file yet. Raises ConfigurationInvalid."""
        try:
            text = self.file.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as problem:
            raise ConfigurationInvalid(
                f"cannot read the MQTT users in {self.file}: {problem.strerror}", hint="make it a file that you own"
            ) from problem
        return users_in(text, self.file)

    def edit(self, change: Change) -> None:
        """Replaces the users by what `change` makes of them; two edits at once lose nothing.

        Raises ConfigurationInvalid, ResourceInUse, and what `change` raises.
        """
        try:
            self.file.parent.mkdir(exist_ok=True, mode=0o700)
            with Locks(self.file.parent).hold(LOCK, wait_s=LOCK_WAIT_S):
                before = self.read()
                after = change(before)
                if after != before or not self.file.exists():
                    write_private(self.file, serialise(after))
        except OSError as problem:
            raise ConfigurationInvalid(
                f"cannot write the MQTT users in {self.file}: {problem.strerror}",
                hint="make its folder one that you may write to",
            ) from problem


def users_in(text: str | bytes, place: object) -> dict[str, UserEntry]:
    """The users in the text of a file. Raises ConfigurationInvalid, which names the place."""
    try:
        return parse(text)
    except ValueError as problem:
        raise ConfigurationInvalid(
            f"cannot use the MQTT users in {place}: {problem}",
            hint="fix that file; or delete it, and bdemo down and bdemo up make one with the stack's own users",
        ) from problem
