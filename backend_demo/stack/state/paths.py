"""Where a stack keeps its files: the folders of a state directory, how they are made and deleted."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from backend_demo.errors import ConfigurationInvalid
from backend_demo.trust import check_owner

#: Longest folder of unix sockets: a socket's path may have 107 bytes, and `/postgres/.s.PGSQL.65535` follows.
_SOCKETS_MAX = 80

_LOCKS = "locks"

#: What a backup holds while it is restored: moved to its places when it is whole.
_RESTORING = "restoring"

#: Marks a directory that this program has made, or was given empty: the only kind that it ever deletes from.
MARK = ".bdemo"

#: All that a stack keeps in its state directory; nothing else there is ever deleted. The mark goes last.
CONTENTS = (
    *("kafka", "mqtt", "tls", "postgres", "prometheus", "faust", "compose", "logs", "run", _LOCKS, _RESTORING),
    *("supervisor.conf", "stack.json", "secrets.json", MARK),
)


#: What to do about a directory of another user.
OF_ANOTHER_USER = "choose another directory with --state-dir, or run the command as its owner"


class Paths:
    """The files and folders of one state directory."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._mark = self.path / MARK
        self.stack_file = self.path / "stack.json"
        self.secrets_file = self.path / "secrets.json"
        self.compose = self.path / "compose"
        """What the compose stack keeps here; its data are in volumes."""
        self.compose_secrets_file = self.compose / "secrets.json"
        self.tls = self.path / "tls"
        """Certificates of a stack that is open to the network, with their keys."""
        self.mqtt_users_file = self.path / "mqtt" / "users.json"
        """Of the embedded stack; a compose stack has its own in a volume."""
        self.logs = self.path / "logs"
        self.locks_folder = self.path / _LOCKS
        self.restoring = self.path / _RESTORING
        self.sockets = self.path / "run"
        if len(os.fsencode(self.sockets)) > _SOCKETS_MAX:
            name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
            # not $TMPDIR: it may be as long, and differ when another command looks for the stack
            self.sockets = Path("/tmp") / f"bdemo-{name}"  # noqa: S108 - its owner is checked

    @property
    def is_marked(self) -> bool:
        """Whether this program made the directory, or was given it empty."""
        return self._mark.is_file()

    def check_owner(self) -> None:
        """Raises ConfigurationInvalid when the directory is a stranger's."""
        check_owner(self.path, hint=OF_ANOTHER_USER)

    def check_usable(self) -> None:
        """Raises ConfigurationInvalid when there are files of somebody else, and it is not marked."""
        if self.path.is_dir() and not self.is_marked and any(self.path.iterdir()):
            raise ConfigurationInvalid(
                f"{self.path} is not empty and is not a state directory of bdemo",
                hint="name an empty or a new directory with --state-dir; if an older bdemo made this one, "
                f"create the file {MARK} in it",
            )

    def check_marked(self) -> None:
        """Raises ConfigurationInvalid when there is something that bdemo has not made."""
        if self.path.exists() and not self.is_marked:
            raise ConfigurationInvalid(
                f"bdemo has not made {self.path}: nothing in it is deleted",
                hint="name the directory of the stack with --state-dir",
            )

    def check_whole(self) -> None:
        """Raises ConfigurationInvalid when `bdemo restore` was killed here before it was done."""
        if self.restoring.exists():
            raise ConfigurationInvalid(
                f"{self.path} holds part of a backup: bdemo restore was killed before it was done",
                hint="run bdemo restore again, or delete everything there with bdemo down --wipe",
            )

    def log_of(self, service: str) -> Path:
        """The log of a service; older parts have `.1` and `.2` behind their names."""
        return self.logs / f"{service}.log"

    def create_folders(self) -> None:
        """Makes the directory and its folders (0700) where they are missing. Raises ConfigurationInvalid, OSError."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.check_usable()
        self._mark.touch(mode=0o600)
        for folder in (self.logs, self.locks_folder, self.sockets):
            folder.mkdir(exist_ok=True, mode=0o700)
        for folder in (self.path, self.sockets):
            if folder.lstat().st_uid != os.geteuid():
                raise ConfigurationInvalid(f"{folder} belongs to another user", hint=OF_ANOTHER_USER)
            folder.chmod(0o700)

    def check_wipe(self) -> None:
        """Raises ConfigurationInvalid as `check_marked`, and when one of the stack's own files is a link."""
        self.check_marked()
        for path in (self.path / name for name in CONTENTS):
            if path.is_symlink():
                raise ConfigurationInvalid(
                    f"{path} is a link and was not deleted", hint="remove the link and what it points to"
                )

    def wipe(self, *, keep: Collection[str] = ()) -> None:
        """Deletes the stack's own files except the locks and those with names in `keep`. Raises as `check_wipe`."""
        self.check_wipe()
        for path in (self.path / name for name in CONTENTS if name not in (_LOCKS, *keep)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def take_restored(self) -> None:
        """Replaces the data of the stack by what is in `restoring`. Raises as `check_wipe`, before it changes anything.

        If it is killed, `check_whole` says so until a backup is restored again.
        """
        self.wipe(keep=("logs", "run", _RESTORING, MARK))
        for path in sorted(self.restoring.iterdir(), key=lambda path: path.name == self.secrets_file.name):
            path.rename(self.path / path.name)  # with the passwords, which come last, there is a stack
        self.restoring.rmdir()

    def remove_empty(self) -> None:
        """Removes the directory after a wipe, unless it contains files of somebody else."""
        for folder in (self.locks_folder, self.path):
            with contextlib.suppress(OSError):
                folder.rmdir()
