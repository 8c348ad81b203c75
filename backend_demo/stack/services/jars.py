"""Jars of Maven Central, pinned by their SHA-256: the list, the download, the check before they run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.errors import PrerequisiteMissing

if TYPE_CHECKING:
    import ssl

    import httpx

CENTRAL = "https://repo.maven.apache.org/maven2"

#: Seconds without a byte after which a download has failed.
SILENCE_S = 30.0


@dataclass(frozen=True)
class Jar:
    """One file: what it is, and the only content that is accepted for it."""

    sha256: str
    size: int  # bytes
    coordinate: str  # group:artifact:version
    licence: str  # as SPDX writes it

    @property
    def name(self) -> str:
        """The name of the file."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    @property
    def url(self) -> str:
        """Where it is fetched from."""
        group, artifact, version = self.coordinate.split(":")
        return f"{CENTRAL}/{group.replace('.', '/')}/{artifact}/{version}/{self.name}"


def read_list(text: str) -> tuple[Jar, ...]:
    """The jars of a list: one per line, columns apart by blanks, and comments."""
    rows = [line.split(maxsplit=3) for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(Jar(sha256, int(size), coordinate, licence) for sha256, size, coordinate, licence in rows)


def download(jars: Iterable[Jar], folder: Path, report: Callable[[str], None]) -> None:
    """Fetches jars into a folder and reports the progress. Raises PrerequisiteMissing, also for another content."""
    from backend_demo.http_client import httpx

    wanted = tuple(jars)
    total, fetched, reported = sum(jar.size for jar in wanted) / 1e6, 0, ""

    def progress(count: int) -> None:
        nonlocal fetched, reported
        fetched += count
        if (text := f"{fetched / 1e6:.1f} of {total:.1f} MB") != reported:
            reported = text
            report(text)

    with httpx.Client(verify=_certificates(), timeout=SILENCE_S) as client:
        for jar in wanted:
            try:
                _download(client, jar, folder / jar.name, progress)
            except httpx.HTTPError as problem:
                raise PrerequisiteMissing(
                    f"cannot fetch {jar.name} from Maven Central: {_innermost(problem)}",
                    hint="check the network, then run again: bdemo up (Kafka is fetched once)",
                ) from problem


def _download(client: httpx.Client, jar: Jar, path: Path, progress: Callable[[int], None]) -> None:
    digest, size = hashlib.sha256(), 0
    with client.stream("GET", jar.url) as answer, path.open("wb") as file:
        answer.raise_for_status()
        for part in answer.iter_bytes():
            size += len(part)
            if size > jar.size:  # a wrong one must not fill the disk
                break
            digest.update(part)
            file.write(part)
            progress(len(part))
    if size != jar.size or digest.hexdigest() != jar.sha256:
        path.unlink()
        raise PrerequisiteMissing(
            f"{jar.name} from {CENTRAL} is not the file that is pinned by its SHA-256",
            hint="it was not kept; something on the way changes files: check the proxy, or use another network",
        )


def _certificates() -> ssl.SSLContext:
    """Whom a download trusts: the system's certificates and those of certifi. What it brings is judged by its hash."""
    import ssl

    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def check(jars: Iterable[Jar], folder: Path) -> None:
    """Reads every jar of a folder and compares it: 50 ms for 45 MB. Raises PrerequisiteMissing for the first wrong one.

    No record of an earlier check is trusted: whoever can change a jar could change the record, too.
    """
    wanted = tuple(jars)
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = list(pool.map(lambda jar: _sha256(folder / jar.name), wanted))
    for jar, sha256 in zip(wanted, found, strict=True):
        if sha256 != jar.sha256:
            wrong = "is missing" if sha256 is None else "is not the file that is pinned by its SHA-256"
            raise PrerequisiteMissing(
                f"{jar.name} in {folder} {wrong}",
                hint=f"fetch Kafka again: rm -r {folder} && bdemo up",
            )


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _innermost(problem: BaseException) -> BaseException:
    """The cause at the end of the chain: the HTTP library wraps a refused connection."""
    while (cause := problem.__cause__ or problem.__context__) is not None:
        problem = cause
    return problem
