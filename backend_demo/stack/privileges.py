"""What a process may do: root's capabilities, the user as which it runs, core dumps. All is given up for good."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import resource
import struct
import sys
from collections.abc import Collection
from pathlib import Path

import backend_demo
from backend_demo.places import cache_dir

#: The user as which a server runs that refuses to be root; every system has this one.
UNPRIVILEGED = "nobody"

#: Capability to pass through folders and to read and write files of others.
DAC_OVERRIDE = 1

#: Numbers of Linux's prctl(2) and capset(2).
_CAPBSET_READ, _CAPBSET_DROP, _NO_NEW_PRIVS, _AMBIENT, _AMBIENT_CLEAR_ALL = 23, 24, 38, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522

_LINUX = sys.platform == "linux"
_LIBC = ctypes.CDLL(None, use_errno=True)


def forbid_core_dumps() -> None:
    """Forbids core dumps, which would hold passwords, to this process and all that it starts."""
    # not 0: Linux would still hand a core to the program that core_pattern names, and to none with a limit of 1 byte
    limit = 1 if _LINUX else 0
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def drop_capabilities(kept: Collection[int] = ()) -> None:
    """Gives up all capabilities but these, also for the programs that this process becomes, and setuid programs.

    What the system does not let go, such as in some containers, is kept.
    """
    if _LINUX:
        _bound(kept)
        _keep_only(kept)


def become(user: str) -> None:
    """Becomes that user, in no further group and without any capability. This process must be root's."""
    identity = pwd.getpwnam(user)
    if _LINUX:
        _bound(())
    os.setgroups([])
    os.setregid(identity.pw_gid, identity.pw_gid)
    os.setreuid(identity.pw_uid, identity.pw_uid)
    if _LINUX:
        _keep_only(())


def needed_by_root(state_dir: Path) -> tuple[int, ...]:
    """The capabilities without which root's services would not reach their files, such as below another's home."""
    needed = (Path(sys.executable), Path(sys.prefix), Path(backend_demo.__file__), state_dir)
    found = [*needed, *(place for place in (cache_dir(),) if place.exists())]
    return () if all(reaches(place, uid=0) for place in found) else (DAC_OVERRIDE,)


def reaches(path: Path, *, uid: int, gid: int | None = None) -> bool:
    """Whether a user without capabilities can pass through all folders above a path, links followed, and read it."""
    real = path.resolve()
    needed = dict.fromkeys(real.parents, 1) | {real: 0o5 if real.is_dir() else 0o4}
    with contextlib.suppress(OSError):
        return all(_allows(place, bits, uid, uid if gid is None else gid) for place, bits in needed.items())
    return False


def _allows(path: Path, bits: int, uid: int, gid: int) -> bool:
    found = path.stat()
    shift = 6 if found.st_uid == uid else 3 if found.st_gid == gid else 0
    return found.st_mode >> shift & bits == bits


def _bound(kept: Collection[int]) -> None:
    """Limits what programs to come can get: these capabilities at most, and none by a setuid program."""
    _prctl(_AMBIENT, _AMBIENT_CLEAR_ALL)
    number = 0
    while _prctl(_CAPBSET_READ, number) >= 0:
        if number not in kept:
            _prctl(_CAPBSET_DROP, number)
        number += 1
    _prctl(_NO_NEW_PRIVS, 1)


def _keep_only(kept: Collection[int]) -> None:
    mask = sum(1 << capability for capability in kept) & _permitted()
    # effective, permitted and inheritable: the lower 32 of each, then the upper
    _LIBC.capset(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), struct.pack("6I", mask, mask, 0, 0, 0, 0))


def _prctl(option: int, value: int) -> int:
    return int(_LIBC.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))))


def _permitted() -> int:
    """The capabilities that this process may use."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapPrm:"))
