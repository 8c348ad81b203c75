"""Only the pinned jars run: another content is refused after the download, and in the cache before each start."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import httpx
import pytest

from backend_demo.errors import PrerequisiteMissing
from backend_demo.stack.services import jars, kafka_jars

CONTENT = {"one": b"first" * 1000, "two": b"second" * 1000}


def jar(name: str) -> jars.Jar:
    content = CONTENT[name]
    return jars.Jar(hashlib.sha256(content).hexdigest(), len(content), f"org.example:{name}:1.0", "MIT")


JARS = (jar("one"), jar("two"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in CONTENT.items():
        (tmp_path / f"{name}-1.0.jar").write_bytes(content)
    return tmp_path


def test_the_list_pins_every_jar_of_kafka() -> None:
    pinned = kafka_jars.pinned()
    assert len(pinned) > 40
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) and jar.size > 0 and jar.licence for jar in pinned)
    assert len({jar.name for jar in pinned}) == len(pinned)
    assert f"org.apache.kafka:kafka_2.13:{kafka_jars.VERSION}" in {jar.coordinate for jar in pinned}


def test_lz4_is_the_maintained_one() -> None:
    """org.lz4:lz4-java 1.8.0, which Kafka 4.1 asks for, has published vulnerabilities and gets no more fixes."""
    found = {tuple(jar.coordinate.split(":")[:2]) for jar in kafka_jars.pinned()}
    assert ("at.yawk.lz4", "lz4-java") in found
    assert ("org.lz4", "lz4-java") not in found


def test_another_list_is_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kafka_jars.home()
    changed = tmp_path / "list.txt"
    changed.write_text(kafka_jars.LIST.read_text().replace("a", "b"))
    monkeypatch.setattr(kafka_jars, "LIST", changed)
    assert kafka_jars.home() != before


def test_the_pinned_content_passes(folder: Path) -> None:
    jars.check(JARS, folder)


def test_a_changed_jar_in_the_cache_is_refused(folder: Path) -> None:
    """Also one of the same size and time."""
    path = folder / "two-1.0.jar"
    before = path.stat()
    path.write_bytes(CONTENT["two"].replace(b"s", b"S"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(PrerequisiteMissing, match=r"^two-1\.0\.jar in .* is not the file that is pinned") as refused:
        jars.check(JARS, folder)
    assert f"rm -r {folder}" in refused.value.hint
    assert "\n" not in refused.value.message + refused.value.hint


def test_a_missing_jar_is_named(folder: Path) -> None:
    (folder / "one-1.0.jar").unlink()
    with pytest.raises(PrerequisiteMissing, match=r"^one-1\.0\.jar in .* is missing$"):
        jars.check(JARS, folder)


def test_a_foreign_jar_in_the_folder_is_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a-planted-1.0.jar").touch()
    monkeypatch.setattr(kafka_jars, "pinned", lambda: JARS)
    assert kafka_jars.class_path(folder) == f"{folder}/one-1.0.jar:{folder}/two-1.0.jar"


def test_no_class_path_without_a_check(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_jars, "pinned", lambda: JARS)
    (folder / "one-1.0.jar").write_bytes(b"wrong")
    with pytest.raises(PrerequisiteMissing, match="one"):
        kafka_jars.class_path(folder)


@pytest.mark.parametrize(("mode", "trusted"), [(0o600, True), (0o644, True), (0o664, False), (0o606, False)])
def test_a_start_up_cache_that_others_may_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, trusted: bool
) -> None:
    cache = tmp_path / "start.aot"
    monkeypatch.setattr(kafka_jars, "start_up_cache", lambda: cache)
    assert kafka_jars.trusted_start_up_cache() is None
    cache.touch()
    cache.chmod(mode)
    tmp_path.chmod(0o755)
    assert kafka_jars.trusted_start_up_cache() == (cache if trusted else None)
    cache.chmod(0o600)
    tmp_path.chmod(0o777)
    assert kafka_jars.trusted_start_up_cache() is None


# -- the download, from a server in this process


def served(monkeypatch: pytest.MonkeyPatch, answers: dict[str, bytes]) -> None:
    """Lets these contents be Maven Central."""

    def answer(request: httpx.Request) -> httpx.Response:
        content = answers.get(request.url.path.rpartition("/")[2])
        return httpx.Response(404) if content is None else httpx.Response(200, content=content)

    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **_: real(transport=httpx.MockTransport(answer)))


def test_a_download_is_kept_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, {f"{name}-1.0.jar": content for name, content in CONTENT.items()})
    reports: list[str] = []
    jars.download(JARS, tmp_path, reports.append)
    jars.check(JARS, tmp_path)
    assert reports[-1] == "0.0 of 0.0 MB"


@pytest.mark.parametrize("wrong", [b"other", CONTENT["two"] + b"more", CONTENT["two"].replace(b"s", b"S"), b""])
def test_another_content_is_refused_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: bytes) -> None:
    served(monkeypatch, {"one-1.0.jar": CONTENT["one"], "two-1.0.jar": wrong})
    with pytest.raises(PrerequisiteMissing, match=r"^two-1\.0\.jar from https://.* is not the file"):
        jars.download(JARS, tmp_path, lambda text: None)
    assert [path.name for path in tmp_path.iterdir()] == ["one-1.0.jar"]


def test_a_jar_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, {})
    with pytest.raises(PrerequisiteMissing, match=r"^cannot fetch one-1\.0\.jar from Maven Central: .*404"):
        jars.download(JARS, tmp_path, lambda text: None)
