"""Whose files are obeyed, and who else may read those that hold secrets: what a stranger has put there is refused."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from backend_demo.errors import ConfigurationInvalid


def check_owner(path: Path, *, hint: str) -> None:
    """Raises ConfigurationInvalid when a file or folder is a stranger's, or when anybody may write it.

    Without effect when there is none. root is no stranger, nor is the user who became root by sudo.
    """
    try:
        found = path.stat()
    except OSError:  # what reads it says what is wrong
        return
    if found.st_uid not in _trusted():
        raise ConfigurationInvalid(f"{path} belongs to {_name_of(found.st_uid)}", hint=hint)
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise ConfigurationInvalid(f"{path} may be written by everybody", hint=f"run: chmod o-w {path}")


def check_private(path: Path) -> None:
    """Raises ConfigurationInvalid when others may read or write a file that holds secrets.

    The group of a file of root's may read it, as PostgreSQL has it: so a service is given a key that it cannot change.
    """
    try:
        found = path.stat()
    except OSError:  # what reads it says what is wrong
        return
    forbidden = 0o037 if found.st_uid == 0 != os.geteuid() else 0o077
    if found.st_mode & forbidden:
        raise ConfigurationInvalid(
            f"others may read or write {path}, which holds secrets", hint=f"run: chmod 600 {path}"
        )


def _trusted() -> set[int]:
    by_sudo = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    return {0, os.geteuid(), *([int(by_sudo)] if by_sudo.isdecimal() else [])}


def _name_of(user_id: int) -> str:
    try:
        return f"the user {pwd.getpwuid(user_id).pw_name}"
    except KeyError:
        return f"user {user_id}"
