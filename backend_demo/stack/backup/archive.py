"""The file of a backup: a tar compressed with zstd; its manifest comes first, the checksums of all files last.

`tar --zstd -xf` and `sha256sum -c` read it too. Owners and modes are not kept: everything is its owner's alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import sys
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from backend_demo.errors import BackupInvalid, UsageError
from backend_demo.stack.backup import manifest as manifests
from backend_demo.stack.backup.manifest import Manifest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MANIFEST, CHECKSUMS = "bdemo-backup.json", "SHA256SUMS"

#: Bytes that are read, hashed and written at a time. tarfile copies a piece again for each 16 KiB that come to it.
_PIECE = 1 << 17
#: Of zstd: four times as fast as its default, and the data of a stack get no smaller with that.
_LEVEL = 1
#: Longest manifest and longest list of checksums, bytes: a backup has some thousand files.
_TEXT_MAX = 16 << 20

#: Header of a file that had holes, and has them again; others keep the room that they have taken.
_HOLES = "BDEMO.holes"

Advance = Callable[[int], None]
"""Takes how many bytes more are done."""

_ANOTHER = "restore another backup, or another copy of this one"


@dataclass(frozen=True)
class Member:
    """A file or a folder of a state directory."""

    name: str
    """Its path below the state directory."""
    size: int | None
    """Bytes; None for a folder."""
    on_disk: int
    """Bytes that it takes: fewer than its size if it has holes, as the indexes of a Kafka that was killed."""


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _Hashing:
    """Passes on what is read, and hashes it."""

    def __init__(self, source: _Readable, advance: Advance) -> None:
        self._source = source
        self._advance = advance
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self._hash.update(piece)
        self._advance(len(piece))
        return piece

    @property
    def checksum(self) -> str:
        return self._hash.hexdigest()


def _ignore(count: int) -> None:
    """Shows no progress."""


# -- writing


def members(root: Path, names: Iterable[str]) -> Iterator[Member]:
    """The files and folders with these names below `root`, and what they hold; a folder comes before its files.

    Names that are not there are left out. Raises UsageError for what is neither a file nor a folder, such as a link.
    """
    paths = [root / name for name in names if os.path.lexists(root / name)]
    above = [folder for path in paths for folder in reversed(path.parents) if root in folder.parents]
    below = [each for path in paths for each in (path, *sorted(path.rglob("*")))]
    for each in dict.fromkeys((*above, *below)):
        found = each.lstat()
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise UsageError(f"{each} is neither a file nor a folder", hint="a backup cannot hold it: move it")
        size = found.st_size if stat.S_ISREG(found.st_mode) else None
        yield Member(each.relative_to(root).as_posix(), size, min(size or 0, found.st_blocks * 512))


def write(output: IO[bytes], manifest: Manifest, root: Path, wanted: Iterable[Member], advance: Advance) -> None:
    """Writes an archive of these members of `root`. Raises OSError."""
    sums = {}
    with (
        zstd.open(output, "wb", level=_LEVEL) as packed,
        tarfile.open(fileobj=packed, mode="w|", bufsize=_PIECE) as tar,
    ):
        sums[MANIFEST] = _add(tar, MANIFEST, io.BytesIO(content := manifest.as_bytes()), len(content), _ignore)
        for member in wanted:
            if member.size is None:
                folder = tarfile.TarInfo(member.name)
                folder.type, folder.mode = tarfile.DIRTYPE, 0o700
                tar.addfile(folder)
            else:
                with (root / member.name).open("rb") as file:
                    size, holes = os.fstat(file.fileno()).st_size, member.on_disk < member.size
                    sums[member.name] = _add(tar, member.name, file, size, advance, holes=holes)
        lines = "".join(f"{checksum}  {name}\n" for name, checksum in sums.items()).encode()
        _add(tar, CHECKSUMS, io.BytesIO(lines), len(lines), _ignore)


def _add(
    tar: tarfile.TarFile, name: str, content: IO[bytes], size: int, advance: Advance, *, holes: bool = False
) -> str:
    """Adds a file; its checksum."""
    hashing = _Hashing(content, advance)
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    if holes:
        info.pax_headers = {_HOLES: "1"}
    tar.addfile(info, hashing)
    return hashing.checksum


# -- reading


def read(source: IO[bytes], kept: Collection[str], advance: Advance, into: Path | None = None) -> Manifest:
    """Reads an archive to its end, checks it, and makes its files below `into` if that is given: an empty folder.

    `kept`: the names that an archive may hold, with what is below them; `advance` takes the archive's own bytes.
    Raises BackupInvalid: damaged, of another version, or with a member that no backup has. OSError.
    """
    done = 0

    def count(_: int) -> None:
        nonlocal done
        done, before = source.tell(), done
        advance(done - before)

    with (
        _what_is_wrong(),
        zstd.open(source, "rb") as packed,
        tarfile.open(fileobj=packed, mode="r|", bufsize=_PIECE) as tar,
    ):
        found = _read(tar, kept, into, count)
        while packed.read(_PIECE):  # a tar is padded: its end may be damaged, too
            pass
        return found


@contextlib.contextmanager
def _what_is_wrong() -> Iterator[None]:
    """Turns what the libraries raise about a damaged archive into BackupInvalid."""
    try:
        yield
    except (tarfile.TarError, zstd.ZstdError, EOFError, UnicodeError) as problem:
        raise BackupInvalid(f"the file is damaged, or is not a backup: {problem}", hint=_ANOTHER) from problem


def _read(tar: tarfile.TarFile, kept: Collection[str], into: Path | None, advance: Advance) -> Manifest:
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg():
        raise BackupInvalid("the file is not a backup of bdemo", hint="name one that bdemo backup has written")
    content = _text(tar, first)
    manifest = manifests.parse(content)
    sums, folders = {MANIFEST: hashlib.sha256(content).hexdigest()}, {""}
    while (member := tar.next()) is not None and member.name != CHECKSUMS:
        check(member, kept, folders, sums)
        if member.isdir():
            folders.add(member.name)
            if into is not None:
                (into / member.name).mkdir(mode=0o700)
        else:
            sums[member.name] = _extract(tar, member, None if into is None else into / member.name, advance)
    if member is None:
        raise BackupInvalid("the backup has no end: it was cut off", hint=_ANOTHER)
    expected = {line[66:]: line[:64] for line in _text(tar, member).decode().split("\n") if line}
    wrong = sorted(name for name, checksum in {*expected.items()} ^ {*sums.items()})
    if wrong:
        raise BackupInvalid(f"the backup is damaged: {wrong[0]} is not what was backed up", hint=_ANOTHER)
    if tar.next() is not None:
        raise BackupInvalid("something follows the end of the backup", hint=_ANOTHER)
    return manifest


def check(member: tarfile.TarInfo, kept: Collection[str], folders: Collection[str], files: Collection[str]) -> None:
    """Raises BackupInvalid unless this is a file or a folder that a backup may hold, in a folder that came before it.

    That excludes links and devices, and names that lead out of the directory. `folders` and `files` came before.
    """
    parent, _, last = member.name.rpartition("/")
    is_wanted = any(f"{member.name}/".startswith(f"{name}/") or name.startswith(f"{member.name}/") for name in kept)
    is_plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)
    is_new = member.name not in folders and member.name not in files
    if not (is_wanted and is_plain and is_new and parent in folders and last not in ("", ".", "..")):
        raise BackupInvalid(
            f"the file holds {member.name!r}, which no backup of bdemo has", hint="nothing of it was restored"
        )


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The content of a short file."""
    file = tar.extractfile(member)
    if file is None or member.size > _TEXT_MAX:
        raise BackupInvalid(f"the file holds {member.name!r} of {member.size:,} bytes", hint=_ANOTHER)
    return file.read()


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path | None, advance: Advance) -> str:
    """Reads a file, and writes it if it has a path; its checksum."""
    content = tar.extractfile(member)
    assert content is not None  # noqa: S101 - narrows a type: it is a file
    hashing = _Hashing(content, advance)
    if path is None:
        while hashing.read(_PIECE):
            pass
    else:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            while piece := hashing.read(_PIECE):
                if _HOLES in member.pax_headers and not piece.strip(b"\0"):
                    file.seek(len(piece), os.SEEK_CUR)
                else:
                    file.write(piece)
            file.truncate()
    return hashing.checksum
