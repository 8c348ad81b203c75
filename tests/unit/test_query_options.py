"""What the options of `bdemo query` mean."""

import os
from pathlib import Path

import pytest

from backend_demo.cli import query_options
from backend_demo.cli.query_options import Order, local_zone, rows_of, times
from backend_demo.cli.query_target import Target, target
from backend_demo.errors import UsageError


def test_without_a_time_it_is_the_last_five_minutes() -> None:
    start, end = times(None, None, None)
    early, _ = times("5m", None, None)
    assert end is None
    assert abs(start - early) < 1
    assert times(None, "1700000000", "1700000001") == (1_700_000_000.0, 1_700_000_001.0)


@pytest.mark.parametrize("given", [("5m", "0", None), (None, "2", "1"), ("soon", None, None), (None, None, "1d ago")])
def test_times_that_contradict(given: tuple[str | None, str | None, str | None]) -> None:
    with pytest.raises(UsageError):
        times(*given)


@pytest.mark.parametrize(
    ("agg", "tz", "bucket", "message"),
    [
        (None, None, "7x", "--bucket: '7x' is no bucket: write 30s"),
        (None, None, "25h", "--bucket: '25h' is longer than a day"),
        ("mean", None, None, "--agg says something about buckets"),
        (None, "UTC", None, "--tz says something about buckets"),
        ("mean,median", None, "1m", "--agg: 'median' is none of them"),
        ("mean,mean", None, "1m", "--agg names one twice"),
        ("", None, "1m", "--agg: '' is none of them"),
        (None, "Europe/Berlim", "1m", "--tz: no such time zone: 'Europe/Berlim'"),
    ],
)
def test_buckets_that_there_are_not(agg: str | None, tz: str | None, bucket: str | None, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        rows_of("range", None, Order.desc, bucket, agg, tz, None)
    assert caught.value.message.startswith(message)
    assert "None" not in caught.value.hint


def test_a_time_zone_that_is_nearly_right_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        query_options.known_zone("Europe/Berlim")
    assert "Europe/Berlin" in caught.value.hint


@pytest.mark.parametrize(
    ("variable", "link", "zone"),
    [
        ("Asia/Tokyo", "/usr/share/zoneinfo/Europe/Paris", "Asia/Tokyo"),
        (":Asia/Tokyo", "", "Asia/Tokyo"),
        ("CET-1CEST", "/usr/share/zoneinfo/Europe/Paris", "UTC"),
        (None, "/usr/share/zoneinfo/Europe/Paris", "Europe/Paris"),
        (None, "/etc/localtime", "UTC"),
    ],
)
def test_the_zone_of_this_machine(monkeypatch: pytest.MonkeyPatch, variable: str | None, link: str, zone: str) -> None:
    if variable is None:
        monkeypatch.delenv("TZ", raising=False)
    else:
        monkeypatch.setenv("TZ", variable)
    monkeypatch.setattr(os.path, "realpath", lambda path: link)
    assert local_zone() == zone


@pytest.mark.parametrize(
    ("text", "form", "path"),
    [
        ("csv", "csv", None),
        ("parquet", "parquet", None),
        ("out.csv", "csv", "out.csv"),
        ("a/b.PARQUET", "parquet", "a/b.PARQUET"),
        ("x.jsonl", "ndjson", "x.jsonl"),
        ("./json.ndjson", "ndjson", "./json.ndjson"),
    ],
)
def test_a_form_or_a_file(text: str, form: str, path: str | None) -> None:
    assert target(text) == Target(form, None if path is None else Path(path))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "xml", "out", "out.xlsx", "out.table", "csv ", "."])
def test_what_is_no_form(text: str) -> None:
    with pytest.raises(UsageError, match="no form of output"):
        target(text)


class TestFile:
    """A file is whole, or as it was."""

    def test_it_is_there_when_all_is_written(self, tmp_path: Path) -> None:
        path = tmp_path / "out.csv"
        path.write_text("old")
        with Target("csv", path).open() as out:
            out.write(b"new")
            assert path.read_text() == "old"
        assert path.read_text() == "new"
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("problem", [RuntimeError(), KeyboardInterrupt(), SystemExit()])
    def test_it_is_as_before_when_not(self, tmp_path: Path, problem: BaseException) -> None:
        path = tmp_path / "out.csv"

        def write_half() -> None:
            with Target("csv", path).open() as out:
                out.write(b"half")
                raise problem

        with pytest.raises(type(problem)):
            write_half()
        assert list(tmp_path.iterdir()) == []

    def test_a_link_stays_a_link(self, tmp_path: Path) -> None:
        path, real = tmp_path / "out.csv", tmp_path / "real.csv"
        path.symlink_to(real)
        with Target("csv", path).open() as out:
            out.write(b"new")
        assert path.is_symlink()
        assert real.read_text() == "new"

    @pytest.mark.parametrize("name", ["missing/out.csv", "file/out.csv", ""])
    def test_where_nothing_can_be_written(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(UsageError, match="cannot write"), Target("csv", tmp_path / name).open():
            pytest.fail("there is nowhere to write")
