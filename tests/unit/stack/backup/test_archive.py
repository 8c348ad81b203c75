"""The archive of a backup: what is read is what was written, and whatever else is refused before a file is made."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.errors import BackupInvalid, UsageError
from backend_demo.stack.backup import archive
from backend_demo.stack.backup.archive import CHECKSUMS, MANIFEST, zstd
from backend_demo.stack.backup.manifest import Manifest

KEPT = ("kafka/data", "postgres/data", "tls", "secrets.json")
FOUND = Manifest(
    bdemo="0.1.0",
    created="2026-11-30T12:00:00+00:00",
    servers={"postgres": "18.6"},
    files=4,
    data_bytes=3_000_009,
    end_offsets={"src-data": [5, 7]},
)

Content = dict[str, bytes | None]
"""Files by their names; None for a folder."""

CONTENT: Content = {
    "kafka": None,
    "kafka/data": None,
    "kafka/data/a.log": b"records" * 3,
    "postgres": None,
    "postgres/data": None,
    "postgres/data/base": None,
    "postgres/data/base/1": os.urandom(1_500_000) + bytes(1_500_000),
    "postgres/data/pg_notify": None,
    "secrets.json": b"{}",
}


def written(root: Path, content: Content) -> bytes:
    """An archive of these files, as it is written."""
    for name, data in content.items():
        if data is None:
            (root / name).mkdir(parents=True)
        else:
            (root / name).write_bytes(data)
    output, done = io.BytesIO(), [0]
    archive.write(output, FOUND, root, list(archive.members(root, KEPT)), lambda count: done.append(count))
    assert sum(done) == sum(len(data or b"") for name, data in content.items() if name.startswith(KEPT))
    return output.getvalue()


def content_of(root: Path) -> Content:
    found = sorted(root.rglob("*"))
    return {path.relative_to(root).as_posix(): None if path.is_dir() else path.read_bytes() for path in found}


def read(packed: bytes, into: Path | None = None) -> Manifest:
    return archive.read(io.BytesIO(packed), KEPT, lambda count: None, into)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("root"), CONTENT)


def test_what_is_read_is_what_was_written(packed: bytes, tmp_path: Path) -> None:
    done = [0]
    assert archive.read(io.BytesIO(packed), KEPT, done.append, tmp_path) == FOUND
    assert content_of(tmp_path) == CONTENT
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")} == {0o700, 0o600}
    assert 0.9 * len(packed) < sum(done) <= len(packed)


def test_holes_stay_holes(tmp_path: Path) -> None:
    """As in the indexes of a Kafka that was killed; what PostgreSQL has taken for its log stays taken."""
    source, into = tmp_path / "source", tmp_path / "into"
    for folder in (source / "tls", into):
        folder.mkdir(parents=True)
    with (source / "tls" / "holes").open("wb") as file:
        file.seek(9_000_000)
        file.write(b"x")
        file.truncate(20_000_001)
    (source / "tls" / "zeros").write_bytes(bytes(1_000_000))
    found = {member.name: member for member in archive.members(source, ["tls"])}
    assert (found["tls/holes"].size, found["tls/zeros"].on_disk) == (20_000_001, 1_000_000)
    assert found["tls/holes"].on_disk < 1_000_000
    output = io.BytesIO()
    archive.write(output, FOUND, source, found.values(), lambda count: None)
    read(output.getvalue(), into)
    assert content_of(into) == content_of(source)
    taken = {path.name: path.stat().st_blocks * 512 for path in (into / "tls").iterdir()}
    assert taken["holes"] < 1_000_000 <= taken["zeros"]


def test_only_what_is_kept_is_written(tmp_path: Path) -> None:
    more: Content = {"logs": None, "logs/kafka.log": b"x", "kafka/server.properties": b"x", "stack.json": b"{}"}
    packed = written(tmp_path / "root", CONTENT | more)
    (tmp_path / "into").mkdir()
    read(packed, tmp_path / "into")
    assert content_of(tmp_path / "into") == CONTENT


def test_other_programs_read_it(packed: bytes, tmp_path: Path) -> None:
    if not (shutil.which("zstd") and shutil.which("sha256sum")):
        pytest.skip("needs zstd and sha256sum")
    (tmp_path / "file").write_bytes(packed)
    for command in (["tar", "--zstd", "-xf", "file"], ["sha256sum", "--quiet", "-c", CHECKSUMS]):
        subprocess.run(command, cwd=tmp_path, check=True, timeout=60)


def test_a_link_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "ca.key").symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match=r"tls/ca\.key is neither a file nor a folder"):
        list(archive.members(tmp_path, KEPT))


@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_changed_byte_is_found(packed: bytes, place: float, change: int) -> None:
    damaged = bytearray(packed)
    damaged[int(place * len(packed))] ^= change
    try:
        found = read(bytes(damaged))
    except BackupInvalid:
        return
    # a few bits of a zstd frame mean nothing, such as how large its window is
    assert found == FOUND


@given(place=st.floats(0, 1, exclude_max=True))
def test_a_file_that_was_cut_off_is_found(packed: bytes, place: float) -> None:
    with pytest.raises(BackupInvalid):
        read(packed[: int(place * len(packed))])


@given(content=st.binary(max_size=2000))
def test_any_other_file_is_refused(content: bytes) -> None:
    for made in (content, zstd.compress(content)):
        with pytest.raises(BackupInvalid):
            read(made)


def test_a_newer_form_names_the_version_that_reads_it() -> None:
    content = b'{"format": 2, "bdemo": "9.1.0", "more": []}'
    with pytest.raises(BackupInvalid, match="has format 2, and this bdemo reads format 1") as problem:
        read(tar_of([file(MANIFEST, content)]))
    assert "bdemo 9.1.0" in problem.value.hint


# -- archives that bdemo has not written

Part = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"x") -> Part:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def special(name: str, kind: bytes, target: str = "") -> Part:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def folder(name: str) -> Part:
    return special(name, tarfile.DIRTYPE)


def tar_of(parts: Iterable[Part]) -> bytes:
    output = io.BytesIO()
    with zstd.open(output, "wb") as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        for info, content in parts:
            tar.addfile(info, io.BytesIO(content))
    return output.getvalue()


def whole(*parts: Part) -> bytes:
    """An archive with a manifest, and with checksums that are right."""
    content = FOUND.as_bytes()
    sums = {MANIFEST: content, **{info.name: data for info, data in parts if info.isreg()}}
    lines = b"".join(line(name, data) for name, data in sums.items())
    return tar_of([file(MANIFEST, content), *parts, file(CHECKSUMS, lines)])


def line(name: str, content: bytes) -> bytes:
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()


def test_one_that_is_right_is_read(tmp_path: Path) -> None:
    assert read(whole(folder("tls"), file("tls/ca.pem")), tmp_path) == FOUND
    assert content_of(tmp_path) == {"tls": None, "tls/ca.pem": b"x"}


UNSAFE: dict[str, list[Part]] = {
    "an absolute path": [file("/tls")],
    "a path out of the directory": [folder("tls"), folder("tls/.."), file("tls/../../evil")],
    "a file above it": [file("../secrets.json")],
    "a folder with a dot": [folder("tls"), file("tls/./ca.pem")],
    "a link to a file": [special("secrets.json", tarfile.SYMTYPE, "/etc/passwd")],
    "a link to a folder": [special("tls", tarfile.SYMTYPE, "/etc"), file("tls/ca.pem")],
    "a hard link": [file("secrets.json"), folder("tls"), special("tls/ca.key", tarfile.LNKTYPE, "/etc/shadow")],
    "a device": [special("secrets.json", tarfile.CHRTYPE)],
    "a pipe": [special("secrets.json", tarfile.FIFOTYPE)],
    "a name twice": [file("secrets.json"), file("secrets.json", b"other")],
    "a file in a file": [file("secrets.json"), file("secrets.json/x")],
    "a file without its folder": [file("postgres/data/base/1")],
    "what no backup has": [file("stack.json")],
    "what is beside the data": [folder("kafka"), file("kafka/server.properties")],
    "what has a similar name": [folder("tls"), folder("tls2")],
    "a mark": [file(".bdemo")],
}


@pytest.mark.parametrize("parts", UNSAFE.values(), ids=UNSAFE.keys())
def test_what_no_backup_has_is_refused(parts: list[Part], tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for into in (None, root):
        with pytest.raises(BackupInvalid, match="which no backup of bdemo has"):
            read(whole(*parts), into)
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    assert not any(path.is_symlink() for path in root.rglob("*"))


INCOMPLETE: dict[str, Callable[[], bytes]] = {
    "no manifest": lambda: tar_of([file("secrets.json")]),
    "no end": lambda: tar_of([file(MANIFEST, FOUND.as_bytes()), file("secrets.json")]),
    "a manifest of something else": lambda: tar_of([file(MANIFEST, b"[]")]),
    "half a manifest": lambda: tar_of([file(MANIFEST, b'{"format": 1, "bdemo": "0.1.0"}')]),
    "wrong checksums": lambda: tar_of([file(MANIFEST, FOUND.as_bytes()), file(CHECKSUMS, b"x\n" * 3)]),
    "checksums that are no text": lambda: tar_of([file(MANIFEST, FOUND.as_bytes()), file(CHECKSUMS, b"\xff\n")]),
    "more behind its end": lambda: tar_of(
        [file(MANIFEST, content := FOUND.as_bytes()), file(CHECKSUMS, line(MANIFEST, content)), file("secrets.json")]
    ),
    "a link as manifest": lambda: tar_of([special(MANIFEST, tarfile.SYMTYPE, "/etc/passwd")]),
}


@pytest.mark.parametrize("made", INCOMPLETE.values(), ids=INCOMPLETE.keys())
def test_what_is_not_whole_is_refused(made: Callable[[], bytes]) -> None:
    with pytest.raises(BackupInvalid):
        read(made())
