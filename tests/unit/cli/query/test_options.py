"""What the options of `bdemo query` mean."""

import os
from pathlib import Path

import pytest

from backend_demo.cli.query.options import PrintOptions, RangeOptions, known_zone, local_zone
from backend_demo.cli.query.target import Target, parse_target
from backend_demo.errors import UsageError


def test_without_a_time_it_is_the_last_five_minutes() -> None:
    start, end = RangeOptions().times()
    early, _ = RangeOptions(since="5m").times()
    assert end is None
    assert abs(start - early) < 1
    assert RangeOptions(from_="1700000000", to="1700000001").times() == (1_700_000_000.0, 1_700_000_001.0)


@pytest.mark.parametrize(
    "given",
    [
        RangeOptions(since="5m", from_="0"),
        RangeOptions(from_="2", to="1"),
        RangeOptions(since="soon"),
        RangeOptions(to="1d ago"),
    ],
)
def test_times_that_contradict(given: RangeOptions) -> None:
    with pytest.raises(UsageError):
        given.times()


@pytest.mark.parametrize(
    ("agg", "tz", "bucket", "message"),
    [
        (None, None, "7x", "--bucket '7x' is not a bucket length: write 30s"),
        (None, None, "25h", "--bucket '25h' is longer than a day"),
        ("mean", None, None, "--agg needs --bucket"),
        (None, "UTC", None, "--tz needs --bucket"),
        ("mean,median", None, "1m", "unknown aggregate in --agg: 'median'"),
        ("mean,mean", None, "1m", "--agg names an aggregate twice"),
        ("", None, "1m", "unknown aggregate in --agg: ''"),
        (None, "Europe/Berlim", "1m", "unknown time zone in --tz: 'Europe/Berlim'"),
    ],
)
def test_invalid_buckets(agg: str | None, tz: str | None, bucket: str | None, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        RangeOptions(bucket=bucket, agg=agg, tz=tz).rows("range")
    assert caught.value.message.startswith(message)
    assert "None" not in caught.value.hint


def test_a_time_zone_that_is_nearly_right_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        known_zone("Europe/Berlim")
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
    ("text", "row_format", "path"),
    [
        ("csv", "csv", None),
        ("parquet", "parquet", None),
        ("out.csv", "csv", "out.csv"),
        ("a/b.PARQUET", "parquet", "a/b.PARQUET"),
        ("x.jsonl", "ndjson", "x.jsonl"),
        ("./json.ndjson", "ndjson", "./json.ndjson"),
    ],
)
def test_a_format_or_a_file(text: str, row_format: str, path: str | None) -> None:
    assert parse_target(text) == Target(row_format, None if path is None else Path(path))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "xml", "out", "out.xlsx", "out.table", "csv ", "."])
def test_an_unknown_format(text: str) -> None:
    with pytest.raises(UsageError, match="unknown output format in --output"):
        parse_target(text)


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        (PrintOptions(), 20),
        (PrintOptions(limit=5), 5),
        (PrintOptions(limit=0), None),
        (PrintOptions(output="csv"), None),
        (PrintOptions(limit=5, output="csv"), 5),
    ],
)
def test_only_a_table_has_a_limit_of_its_own(given: PrintOptions, rows: int | None) -> None:
    assert given.printing().rows == rows


def test_a_chart_shows_everything() -> None:
    assert PrintOptions().printing(chart=True).rows is None


@pytest.mark.parametrize(
    ("given", "chart", "message"),
    [
        (PrintOptions(output="csv"), True, "--chart cannot be combined with --output csv"),
        (PrintOptions(output="x.csv", watch=True), False, "--watch never ends"),
        (PrintOptions(output="parquet", watch=True), False, "--watch never ends"),
        (PrintOptions(watch=True, every="0"), False, "duration"),
    ],
)
def test_what_cannot_be_printed(given: PrintOptions, chart: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        given.printing(chart=chart)


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
