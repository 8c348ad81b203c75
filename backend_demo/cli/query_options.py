"""The options that the commands of `bdemo query` share, and what they mean."""

from __future__ import annotations

import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backend_demo.cli import options
from backend_demo.domain.bucket import AGGREGATES, parse_bucket
from backend_demo.errors import UsageError

if TYPE_CHECKING:
    from backend_demo.operations.query import Gateway, Range

DEFAULT_RANGE_S = 300.0

DEFAULT_AGGREGATES = "mean,min,max,count"


class Order(StrEnum):
    """Of a range's rows."""

    asc = "asc"
    desc = "desc"


Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FORM|FILE",
        help="table, json, ndjson, csv or parquet; or a file: out.csv, out.parquet.",
    ),
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Ask again and again, until Ctrl-C.")]
Every = Annotated[str, typer.Option("--every", metavar="DURATION", help="With --watch: how often.")]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=0,
        help="Only the first N rows: the newest, or the oldest with --order asc; 0: all.  [default: 20 in a table]",
        show_default=False,
    ),
]
Sensors = Annotated[
    list[int] | None,
    typer.Option(
        "--sensor", "-s", metavar="N", min=0, help="Sensor number; may be repeated. None: all.", show_default=False
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="From so long ago (5m, 1h30m), or from a time.", show_default=False),
]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="TIME", help="From this time: RFC 3339, epoch seconds, or so long ago.", show_default=False
    ),
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="To this time, included.", show_default=False)
]
OrderOption = Annotated[Order, typer.Option("--order", help="Newest first, or oldest first.")]
Bucket = Annotated[
    str | None,
    typer.Option(
        "--bucket",
        metavar="LENGTH",
        help="Sum up by 30s, 5m, 1h, 1d, 1w, 1mo or 1y.",
        show_default=False,
    ),
]
Agg = Annotated[
    str | None,
    typer.Option(
        "--agg",
        metavar="NAMES",
        help=f"With --bucket: some of {','.join(AGGREGATES)}.  [default: {DEFAULT_AGGREGATES}]",
        show_default=False,
    ),
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--tz",
        metavar="ZONE",
        help="With --bucket: whose midnight counts, such as Europe/Berlin.  [default: this machine's]",
        show_default=False,
    ),
]
MaxPoints = Annotated[
    int | None,
    typer.Option(
        "--max-points",
        metavar="N",
        min=3,
        help="Only N rows of each sensor, such that a line through them looks the same.",
        show_default=False,
    ),
]
Chart = Annotated[bool, typer.Option("--chart", help="Draw it, instead of a table.")]


def gateway(url: str | None, token: str | None, state_dir: Path | None) -> Gateway:
    """The gateway that is named, or the stack's. Raises NoStack, UsageError."""
    from backend_demo.operations.query import Gateway

    settings = options.settings(state_dir=state_dir)
    shown = settings.gateway_token if token is None else token
    return Gateway(url if url is not None else options.attached(state_dir).gateway_url, shown)


def every_s(watch: bool, every: str) -> float | None:
    """How often to ask again; None: not at all. Raises UsageError."""
    from backend_demo.cli.times import duration_s

    return max(0.1, duration_s(every)) if watch else None


def times(since: str | None, from_: str | None, to: str | None) -> tuple[float, float | None]:
    """First and last time of the range, epoch seconds; without --to it has no end. Raises UsageError."""
    from backend_demo.cli.times import point_in_time

    if since is not None and from_ is not None:
        raise UsageError("--since and --from exclude each other", hint="give one of them")
    now = time.time()
    begins = since if since is not None else from_
    start = point_in_time(begins, now) if begins is not None else now - DEFAULT_RANGE_S
    end = point_in_time(to, now) if to is not None else None
    if end is not None and end < start:
        raise UsageError("the range ends before it begins", hint="give --since or --from a time before --to")
    return start, end


def rows_of(
    query: Literal["range", "average"],
    sensors: list[int] | None,
    order: Order,
    bucket: str | None,
    agg: str | None,
    tz: str | None,
    max_points: int | None,
) -> Range:
    """Which rows, whatever their time. Raises UsageError."""
    from backend_demo.operations.query import Range

    for option, given in (("--agg", agg), ("--tz", tz)):
        if given is not None and bucket is None:
            raise UsageError(f"{option} says something about buckets, and there are none", hint="give --bucket 1m, say")
    if max_points is not None and bucket is not None:
        raise UsageError("--bucket and --max-points exclude each other", hint="give one of them")
    if bucket is not None:
        try:
            parse_bucket(bucket)
        except ValueError as problem:
            raise UsageError(f"--bucket: {bucket[:20]!r} {problem}", hint="see: bdemo query range --help") from problem
    names = tuple((DEFAULT_AGGREGATES if agg is None else agg).replace(" ", "").split(","))
    for name in names:
        if name not in AGGREGATES:
            raise UsageError(f"--agg: {name[:20]!r} is none of them", hint=f"some of {','.join(AGGREGATES)}")
    if len(set(names)) < len(names):
        raise UsageError("--agg names one twice", hint=f"some of {','.join(AGGREGATES)}")
    return Range(
        query,
        tuple(dict.fromkeys(sensors or ())),
        descending=order is Order.desc,
        bucket=bucket,
        aggregates=names,
        zone=known_zone(tz) if tz is not None else local_zone() if bucket else "UTC",
        max_points=max_points,
    )


def known_zone(name: str) -> str:
    """The name of a time zone. Raises UsageError."""
    from zoneinfo import available_timezones

    from backend_demo.errors import suggest

    known = available_timezones()
    if name not in known:
        raise UsageError(f"--tz: no such time zone: {name[:60]!r}", hint=_near(suggest(name, known)))
    return name


def _near(hint: str) -> str:
    return hint if hint.startswith("did") else "write it as the IANA database does: Europe/Berlin, UTC"


def local_zone() -> str:
    """This machine's time zone by its name in the IANA database, else UTC."""
    from zoneinfo import available_timezones

    known = available_timezones()
    linked = os.path.realpath("/etc/localtime").rpartition("/zoneinfo/")[2]
    candidates = [os.environ["TZ"].lstrip(":")] if "TZ" in os.environ else [linked]
    return next((name for name in candidates if name in known), "UTC")
