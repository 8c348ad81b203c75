"""Log files: times in every server's own form, merged, followed across a rotation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend_demo.log_event import to_json
from backend_demo.stack import logfiles
from backend_demo.stack.base import LogFilter

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-24T12:00:00.250Z INFO  KafkaRaftServer started",
        "[17989] 2026/11/24 12:00:00.250000 [INF] Server is ready",
        "2026-11-24 12:00:00.250 UTC [17990] LOG:  ready",
        "2026-11-24T12:00:00.250000Z [info     ] ready service=loader",
        "2026-11-24 12:00:00,250 INFO spawned",
        '{"time":"2026-11-24T12:00:00.250Z","level":"info","event":"ready"}',
    ],
)
def test_every_server_s_time_is_read(line: str) -> None:
    assert logfiles.time_of(line) == pytest.approx(NOON + 0.25)


@pytest.mark.parametrize("line", ["", "Traceback (most recent call last):", "2026-13-45 99:99:99", "  at a.b.C"])
def test_a_line_without_a_time_has_none(line: str) -> None:
    assert logfiles.time_of(line) is None


def write(path: Path, *seconds: float, text: str = "x") -> Path:
    stamps = (datetime.fromtimestamp(NOON + s, UTC).isoformat(timespec="milliseconds") for s in seconds)
    path.write_text("".join(f"{stamp} {text}\n" for stamp in stamps))
    return path


def test_newest_lines_are_merged_by_time(tmp_path: Path) -> None:
    files = {"a": write(tmp_path / "a.log", 1, 4, 5), "b": write(tmp_path / "b.log", 2, 3, 6)}
    assert [line.service for line in logfiles.newest(files, 4)] == ["b", "a", "a", "b"]


def test_a_line_without_a_time_stays_behind_its_predecessor(tmp_path: Path) -> None:
    first = write(tmp_path / "a.log", 1)
    first.write_text(first.read_text() + "Traceback\n  frame\n")
    lines = logfiles.newest({"a": first, "b": write(tmp_path / "b.log", 2)}, 10)
    assert [line.service for line in lines] == ["a", "a", "a", "b"]
    assert [line.text for line in lines[1:3]] == ["Traceback", "  frame"]


@settings(deadline=None)
@given(count=st.integers(0, 12), sizes=st.lists(st.integers(0, 5), min_size=3, max_size=3))
def test_the_newest_are_found_across_rotated_files(
    count: int, sizes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, number = tmp_path_factory.mktemp("logs"), 0
    for name, size in zip(("a.log.2", "a.log.1", "a.log"), sizes, strict=True):
        (folder / name).write_text("".join(f"line {number + i}\n" for i in range(size)))
        number += size
    texts = [line.text for line in logfiles.newest({"a": folder / "a.log"}, count)]
    assert texts == [f"line {i}" for i in range(number)][number - min(count, number) :]


def test_without_a_log_there_are_no_lines(tmp_path: Path) -> None:
    assert logfiles.newest({"a": tmp_path / "none.log"}, 5) == []


def test_following_sees_whole_lines_through_a_rotation(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", 1, text="old")
    follower = logfiles.Follower("a", path)
    assert follower.read() == []
    with open(path, "a") as log:
        log.write("one\ntw")
        log.flush()
        assert [line.text for line in follower.read()] == ["one"]
        log.write("o\nlast of the old\n")
    path.rename(tmp_path / "a.log.1")
    path.write_text("first of the new\n")
    assert [line.text for line in follower.read()] == ["two", "last of the old"]
    assert [line.text for line in follower.read()] == ["first of the new"]


def test_following_begins_when_the_log_appears(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    follower = logfiles.Follower("a", path)
    assert follower.read() == []
    path.write_text("first\n")
    assert [line.text for line in follower.read()] == ["first"]


def test_last_errors_prefers_lines_that_tell_of_one(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("starting\nValueError: no good\nstopped\n")
    assert logfiles.last_errors(path) == "ValueError: no good"
    path.write_text("starting\nstopped\n\n")
    assert logfiles.last_errors(path) == "starting\nstopped"
    path.write_text("")
    assert logfiles.last_errors(path) is None


def event(second: float, level: str, text: str, **keys: object) -> str:
    time = datetime.fromtimestamp(NOON + second, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return to_json({"time": time, "level": level, "event": text, **keys}) + "\n"


GROUP = "  | Group\n  +-+-- 1 ---\n    | ValueError: no good\n    +----"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        # the cause has the last line to itself: `up` says only that
        ([event(1, "error", "failed", error="no topic", hint="make it")], ["failed", "no topic"]),
        ([event(0, "error", "failed", exception="File x\nIt: bad"), event(1, "info", "x")], ["failed", "It: bad"]),
        ([event(at, "error", "failed", exception=GROUP) for at in range(5)], ["failed", "ValueError: no good"]),
        ([event(0, "info", "no error: fine"), event(1, "warning", "waits", reason="x")], ["waits reason=x"]),
        ([event(0, "info", "starting"), event(1, "info", "ready", lag=8)], ["starting", "ready lag=8"]),
        ([event(0, "info", "starting"), "error: fire\n", "hint: run\n"], ["error: fire"]),
    ],
)
def test_last_errors_are_read_from_events(tmp_path: Path, lines: list[str], told: list[str]) -> None:
    path = tmp_path / "a.log"
    path.write_text("".join(lines))
    assert (logfiles.last_errors(path) or "").splitlines() == told


def test_lines_are_filtered_by_level_and_time(tmp_path: Path) -> None:
    """What follows a line and says no level, such as the stacks of a crash, goes with it."""
    old = [event(1, "warning", "old"), event(2, "info", "x"), event(3, "error", "stuck")]
    new = ["Thread 0x1 (most recent call first):\n", "  File x\n", event(4, "info", "y"), event(5, "warning", "z")]
    (tmp_path / "a.log.1").write_text("".join(old))
    (tmp_path / "a.log").write_text("".join(new))
    files = {"a": tmp_path / "a.log"}
    assert len(logfiles.newest(files, 10)) == 7
    levels = [line.level for line in logfiles.newest(files, 10, LogFilter("warning"))]
    assert levels == ["warning", "error", "error", "error", "warning"]
    assert len(logfiles.newest(files, 10, LogFilter("warning", NOON + 3))) == 4
    assert [line.text for line in logfiles.newest(files, 2, LogFilter("warning"))] == ["  File x", new[-1].rstrip()]


def test_a_line_that_a_rotation_cuts_in_two_is_whole(tmp_path: Path) -> None:
    line = event(1, "info", "ready")
    (tmp_path / "a.log.1").write_text("first\n" + line[:30])
    (tmp_path / "a.log").write_text(line[30:] + "last\n")
    assert [each.text for each in logfiles.newest({"a": tmp_path / "a.log"}, 10)] == ["first", line.rstrip(), "last"]


def test_following_is_filtered_too(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    coming = logfiles.follow({"a": path}, LogFilter("error"))
    lines = [event(1, "info", "x"), event(2, "error", "stuck"), "  a frame\n", event(3, "info", "y")]
    path.write_text("".join(lines))
    assert [next(coming).text for _ in range(2)] == [lines[1].rstrip(), "  a frame"]
