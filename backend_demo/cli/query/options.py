"""Options of `bdemo query`: how rows are printed, and which rows of a range of time."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backend_demo.cli import options
from backend_demo.domain.bucket import AGGREGATES, parse_bucket
from backend_demo.errors import UsageError

if TYPE_CHECKING:
    from backend_demo.cli.query.target import Target
    from backend_demo.operations.query import Range

#: Length of a range without a start, seconds.
DEFAULT_RANGE_S = 300.0
#: Shortest time between two questions of --watch, seconds.
EVERY_LEAST_S = 0.1
#: Rows of a table without --limit.
TABLE_ROWS = 20

DEFAULT_AGGREGATES = "mean,min,max,count"
_AGGREGATES_HINT = f"choose from {','.join(AGGREGATES)}"


class SortOrder(StrEnum):
    """Sort order of the rows, by time."""

    asc = "asc"
    desc = "desc"


OutputOption = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FORMAT|FILE",
        help="table, json, ndjson, csv or parquet; or a file: out.csv, out.parquet.",
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=0,
        help=f"Print only the first N rows; 0 means all.  [default: {TABLE_ROWS} in a table]",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Printing:
    """How an answer is printed."""

    target: Target
    limit: int | None
    """Rows at most, as given; 0: all."""
    every_s: float | None
    """Seconds between two questions; None: asked once."""
    chart: bool

    @property
    def rows(self) -> int | None:
        """Rows to print; None: all."""
        if self.limit is None and self.target.format == "table" and not self.chart:
            return TABLE_ROWS
        return self.limit or None


@dataclass(frozen=True)
class PrintOptions:
    """How many rows are printed, where, and how often."""

    limit: LimitOption = None
    output: OutputOption = "table"
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Ask again and again, until Ctrl-C.")] = False
    every: Annotated[str, typer.Option("--every", metavar="DURATION", help="Time between questions of --watch.")] = "1s"

    def printing(self, *, chart: bool = False) -> Printing:
        """What the options mean. Raises UsageError."""
        from backend_demo.cli.query.target import parse_target
        from backend_demo.cli.times import duration_s

        target = parse_target(self.output)
        if chart and target.format != "table":
            raise UsageError(
                f"--chart cannot be combined with --output {self.output}", hint="leave out --chart or --output"
            )
        if self.watch and (target.path is not None or target.format == "parquet"):
            raise UsageError(
                "--watch never ends, so a file would never be complete", hint="leave out --watch, or: -o ndjson >FILE"
            )
        every_s = max(EVERY_LEAST_S, duration_s(self.every, "--every")) if self.watch else None
        return Printing(target, self.limit, every_s, chart)


@dataclass(frozen=True)
class RangeOptions:
    """Which rows of a range of time."""

    sensors: options.Sensors = None
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Start that long ago (5m, 1h30m), or at a time.", show_default=False
        ),
    ] = None
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Start at this time: RFC 3339, epoch seconds, or how long ago.",
            show_default=False,
        ),
    ] = None
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="End at this time, inclusive.", show_default=False)
    ] = None
    bucket: Annotated[
        str | None,
        typer.Option("--bucket", metavar="LENGTH", help="Group by 30s, 5m, 1h, 1d, 1w, 1mo or 1y.", show_default=False),
    ] = None
    agg: Annotated[
        str | None,
        typer.Option(
            "--agg",
            metavar="NAMES",
            help=f"With --bucket: some of {','.join(AGGREGATES)}.  [default: {DEFAULT_AGGREGATES}]",
            show_default=False,
        ),
    ] = None
    tz: Annotated[
        str | None,
        typer.Option(
            "--tz",
            metavar="ZONE",
            help="With --bucket: time zone of the buckets, such as Europe/Berlin.  [default: this machine's]",
            show_default=False,
        ),
    ] = None
    order: Annotated[SortOrder, typer.Option("--order", help="Newest first, or oldest first.")] = SortOrder.desc
    max_points: Annotated[
        int | None,
        typer.Option(
            "--max-points",
            metavar="N",
            min=3,
            help="Only N rows per sensor, chosen so that a line through them looks the same.",
            show_default=False,
        ),
    ] = None
    chart: Annotated[bool, typer.Option("--chart", help="Draw a chart instead of a table.")] = False

    def times(self) -> tuple[float, float | None]:
        """First and last time of the range, epoch seconds; it has no end without --to. Raises UsageError."""
        from backend_demo.cli.times import point_in_time

        if self.since is not None and self.from_ is not None:
            raise UsageError("--since cannot be combined with --from", hint="give one of them")
        now = time.time()
        begins = self.since if self.since is not None else self.from_
        start = (
            point_in_time(begins, now, "--since" if self.since is not None else "--from")
            if begins is not None
            else now - DEFAULT_RANGE_S
        )
        end = point_in_time(self.to, now, "--to") if self.to is not None else None
        if end is not None and end < start:
            raise UsageError("the range ends before it starts", hint="give --since or --from a time before --to")
        return start, end

    def rows(self, query: Literal["range", "average"]) -> Range:
        """Which rows, except for their time. Raises UsageError."""
        from backend_demo.operations.query import Range

        self._check()
        return Range(
            query,
            tuple(dict.fromkeys(self.sensors or ())),
            descending=self.order is SortOrder.desc,
            bucket=self.bucket,
            aggregates=parse_aggregates(DEFAULT_AGGREGATES if self.agg is None else self.agg),
            zone=known_zone(self.tz) if self.tz is not None else local_zone() if self.bucket else "UTC",
            max_points=self.max_points,
        )

    def _check(self) -> None:
        for option, given in (("--agg", self.agg), ("--tz", self.tz)):
            if given is not None and self.bucket is None:
                raise UsageError(f"{option} needs --bucket", hint="for example: --bucket 1m")
        if self.bucket is None:
            return
        if self.max_points is not None:
            raise UsageError("--bucket cannot be combined with --max-points", hint="give one of them")
        try:
            parse_bucket(self.bucket)
        except ValueError as problem:
            raise UsageError(
                f"--bucket {self.bucket[:20]!r} {problem}", hint="see: bdemo query range --help"
            ) from problem


def parse_aggregates(text: str) -> tuple[str, ...]:
    """The aggregates that --agg names. Raises UsageError."""
    names = tuple(text.replace(" ", "").split(","))
    for name in names:
        if name not in AGGREGATES:
            raise UsageError(f"unknown aggregate in --agg: {name[:20]!r}", hint=_AGGREGATES_HINT)
    if len(set(names)) < len(names):
        raise UsageError("--agg names an aggregate twice", hint=_AGGREGATES_HINT)
    return names


def known_zone(name: str) -> str:
    """The name of a time zone. Raises UsageError."""
    from zoneinfo import available_timezones

    from backend_demo.errors import suggest

    known = available_timezones()
    if name not in known:
        near = suggest(name, known)
        hint = near if near.startswith("did") else "use a name of the IANA database, such as Europe/Berlin or UTC"
        raise UsageError(f"unknown time zone in --tz: {name[:60]!r}", hint=hint)
    return name


def local_zone() -> str:
    """This machine's time zone by its name in the IANA database, else UTC."""
    from zoneinfo import available_timezones

    known = available_timezones()
    linked = os.path.realpath("/etc/localtime").rpartition("/zoneinfo/")[2]
    candidates = [os.environ["TZ"].lstrip(":")] if "TZ" in os.environ else [linked]
    return next((name for name in candidates if name in known), "UTC")
