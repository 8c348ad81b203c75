"""Every error that `bdemo` reports: a code for programs, an exit code for shells, a hint for people."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

from backend_demo.text import without_passwords

#: What the system says when there is no room to write.
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class BdemoError(Exception):
    """Something that the user can understand and act on; printed as `error:` and `hint:`, never as a traceback."""

    code = "unexpected"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(without_passwords(message))
        self.message = without_passwords(message)
        self.hint = hint


class UsageError(BdemoError):
    """An option or argument is out of its bounds."""

    code, exit_code = "usage", 2


class ConfigurationInvalid(BdemoError):
    """A setting, a configuration file or an environment variable cannot be used."""

    code, exit_code = "configuration_invalid", 3


class PrerequisiteMissing(BdemoError):
    """The machine lacks something that cannot be fetched, or a download failed."""

    code, exit_code = "prerequisite_missing", 4


class ServiceFailed(BdemoError):
    """A service failed, is unhealthy, or cannot be reached."""

    code, exit_code = "service_failed", 5


class ResourceInUse(BdemoError):
    """A lock, a directory or a service slot belongs to another process."""

    code, exit_code = "in_use", 6


class PortInUse(ResourceInUse):
    """Another process listens on a port that a service needs."""

    code = "port_in_use"

    def __init__(
        self, port: int, service: str, owner: str, *, hint: str = "stop it, or run: bdemo up --any-port"
    ) -> None:
        super().__init__(f"port {port} of {service} is taken by {owner}", hint=hint)
        self.port = port


class DiskFull(ResourceInUse):
    """The disk, or the user's quota of it, is full."""

    code = "disk_full"

    def __init__(self, problem: OSError, path: object = None) -> None:
        what = "the output" if path is None else path
        super().__init__(f"cannot write {what}: {problem.strerror}", hint="free some disk space")


class NoStack(BdemoError):
    """No stack runs in the state directory."""

    code, exit_code = "no_stack", 7

    def __init__(self, state_dir: object) -> None:
        super().__init__(f"no stack runs in {state_dir}", hint="start it with: bdemo up")


class VerificationFailed(BdemoError):
    """Readings were lost, counted twice, altered or invented, or an average is wrong."""

    code, exit_code = "verification_failed", 8


class BackupInvalid(BdemoError):
    """A backup is damaged, is of another version, or holds what no backup has."""

    code, exit_code = "backup_invalid", 8


class UnknownName(BdemoError):
    """A service, topic or sensor that does not exist; the hint names the nearest ones."""

    code, exit_code = "unknown_name", 9

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown {kind} {name!r}", hint=suggest(name, known))


class TimedOut(BdemoError):
    """Something did not become true in the time given."""

    code, exit_code = "timed_out", 17


def cannot_write(path: object, problem: OSError) -> BdemoError:
    """The error of a file that the user named and that cannot be written."""
    if problem.errno in FULL_DISK:
        return DiskFull(problem, path)
    return UsageError(
        f"cannot write {path}: {problem.strerror}", hint="name a file in a directory that you may write to"
    )


def suggest(name: str, known: Iterable[str]) -> str:
    """A hint with the names nearest to `name`, or all of them when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(names)}"
