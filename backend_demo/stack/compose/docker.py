"""Docker, asked with a time limit; and what it refuses, as an error with a next step."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator

from backend_demo.errors import BdemoError, PortInUse, PrerequisiteMissing, ServiceFailed, TimedOut

#: The first compose plugin whose override files can replace a list (`!override`).
OLDEST_COMPOSE = (2, 24)

WITHOUT = "or run the stack that needs no Docker: bdemo up --stack embedded"
_NO_ENGINE = re.compile(r"cannot connect to the docker daemon|error during connect|is the docker daemon running", re.I)
_NO_COMPOSE = re.compile(r"'compose' is not a docker command|unknown (shorthand )?flag|unknown command", re.I)
_PORT_TAKEN = re.compile(r":(\d+)(?:/tcp)?[: ].*?(?:port is already allocated|address already in use)", re.S)
_NOT_PULLED = re.compile(
    r"pull access denied|manifest unknown|failed to resolve reference|no such host|TLS handshake", re.I
)


#: The last line of what `docker run` complains of.
_HELP = re.compile(r"\s*(See|Run) 'docker .*--help'")
_PREFACE = re.compile(r"^(docker: )?((error|failed to solve|Error response from daemon): )?", re.I)


def check() -> None:
    """Whether there is a Docker that we can use. Raises PrerequisiteMissing."""
    version = ask("compose", "version", "--short").strip().removeprefix("v")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST_COMPOSE:
        oldest = ".".join(map(str, OLDEST_COMPOSE))
        raise PrerequisiteMissing(
            f"Docker's compose plugin is version {version}, and {oldest} is the oldest that will do",
            hint=f"update it (https://docs.docker.com/compose/install), {WITHOUT}",
        )
    ask("version", "--format", "{{.Server.Version}}")


def ask(*words: str, both: bool = False, stdin: str | None = None, limit_s: float = 30.0) -> str:
    """What `docker WORDS` prints; `both`: on stderr as well. Raises PrerequisiteMissing, ServiceFailed, TimedOut."""
    stderr = subprocess.STDOUT if both else subprocess.PIPE
    try:
        done = subprocess.run(  # noqa: S603 - words, no shell
            ["docker", *words],  # noqa: S607 - docker is on the user's PATH
            stdout=subprocess.PIPE,
            stderr=stderr,
            input=stdin,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except FileNotFoundError as problem:
        raise PrerequisiteMissing(
            "Docker is not installed", hint=f"install it (https://docs.docker.com/get-docker), {WITHOUT}"
        ) from problem
    except subprocess.TimeoutExpired as problem:
        raise TimedOut(
            f"Docker does not answer within {limit_s:g} s", hint="restart its engine: sudo systemctl restart docker"
        ) from problem
    if done.returncode:
        raise refused(done.stderr or done.stdout)
    return done.stdout


def refused(said: str) -> BdemoError:
    """What Docker's complaint means for its user."""
    if "permission denied" in said.lower() and "docker" in said.lower() and "connect" in said.lower():
        return PrerequisiteMissing(
            "this user may not use Docker's engine",
            hint=f"run: sudo usermod -aG docker $USER, and log in again, {WITHOUT}",
        )
    if _NO_ENGINE.search(said):
        return PrerequisiteMissing(
            "Docker's engine does not run", hint=f"start it: sudo systemctl start docker, or Docker Desktop, {WITHOUT}"
        )
    if _NO_COMPOSE.search(said):
        return PrerequisiteMissing(
            "Docker has no compose plugin", hint=f"install it (https://docs.docker.com/compose/install), {WITHOUT}"
        )
    if taken := _PORT_TAKEN.search(said):
        return PortInUse(int(taken[1]), "a container", "another process")
    return ServiceFailed(f"Docker refused: {last_line(said)}", hint="see: bdemo status, bdemo logs")


def not_pulled(image: str, said: str) -> BdemoError:
    """An image that cannot be had."""
    known = refused(said)
    if isinstance(known, PrerequisiteMissing):
        return known
    return PrerequisiteMissing(
        f"the image {image} cannot be pulled: {last_line(said)}",
        hint="look at the network and the name, or load it from elsewhere (docker load), or use --without",
    )


def last_line(said: str) -> str:
    """The line that tells what went wrong: the last one that is not empty, without Docker's preface."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not _HELP.match(line)]
    return _PREFACE.sub("", lines[-1]) if lines else "?"


@contextlib.contextmanager
def no_client_left() -> Iterator[None]:
    """Ends the docker clients that were started inside and still run: who interrupts `bdemo` means them as well."""
    import psutil

    from backend_demo.stack import processes

    own = psutil.Process()
    before = {child.pid for child in own.children(recursive=True)}
    try:
        yield
    finally:
        left = [child for child in own.children(recursive=True) if child.pid not in before and _is_docker(child)]
        processes.end(left, first=signal.SIGINT)


def end_clients_of(project: str) -> None:
    """Ends the docker clients of a `bdemo` that was killed: they would go on starting containers of that project."""
    import psutil

    from backend_demo.stack import processes

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            named = project in words and words[words.index(project) - 1] == "--project-name"
            if named and _is_docker(process) and not {"logs", "config"} & set(words):
                found.append(process)
    processes.end(found, first=signal.SIGINT)


def _is_docker(process: object) -> bool:
    import psutil

    assert isinstance(process, psutil.Process)  # noqa: S101 - narrows a type
    with contextlib.suppress(psutil.Error):
        return process.name().startswith("docker")
    return False
