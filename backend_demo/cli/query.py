"""`bdemo query`: readings and averages, through the gateway."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backend_demo.cli import options
from backend_demo.errors import UsageError

if TYPE_CHECKING:
    from backend_demo.operations.query import Answer, Gateway

app = typer.Typer(help="Ask the gateway for readings and averages.", no_args_is_help=True)

DEFAULT_RANGE_S = 300.0


class Format(StrEnum):
    """How an answer is printed."""

    table = "table"
    json = "json"
    csv = "csv"


Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Another gateway than the stack's.", show_default=False),
]
Output = Annotated[Format, typer.Option("--output", "-o", help="Table, one JSON document, or CSV.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Ask again and again, until Ctrl-C.")]
Every = Annotated[str, typer.Option("--every", metavar="DURATION", help="With --watch: how often.")]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=0,
        help="Only the newest N rows; 0: all.  [default: 20 in a table]",
        show_default=False,
    ),
]
Sensors = Annotated[
    list[int], typer.Option("--sensor", "-s", metavar="N", min=0, help="Sensor number; may be repeated.")
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
Chart = Annotated[bool, typer.Option("--chart", help="Draw it, instead of a table.")]


@app.command("latest")
def latest(
    sensors: Annotated[
        list[int] | None,
        typer.Option(
            "--sensor", "-s", metavar="N", min=0, help="Sensor number; may be repeated. None: all.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=0, help="Only the first N sensors; 0: all.", show_default=False),
    ] = None,
    output: Output = Format.table,
    watch: Watch = False,
    every: Every = "1s",
    url: Url = None,
    state_dir: options.StateDir = None,
) -> None:
    """The newest reading of each sensor, by the sensor's own time.

    With --watch, a table that changes; without a terminal, a line for each new reading.

    \b
    Examples:
      $ bdemo query latest
      $ bdemo query latest --sensor 1 --sensor 2 -o json
      $ bdemo query latest --watch
      $ bdemo query latest --url http://gateway.example:8007 -o csv
    """
    _run(
        lambda gateway: gateway.latest(sensors or ()),
        address=_address(url, state_dir),
        output=output,
        limit=limit,
        chart=False,
        every_s=_every(watch, every),
    )


@app.command("range")
def range_(
    sensors: Sensors,
    since: SinceOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    chart: Chart = False,
    limit: Limit = None,
    output: Output = Format.table,
    watch: Watch = False,
    every: Every = "1s",
    url: Url = None,
    state_dir: options.StateDir = None,
) -> None:
    """The readings of a range of time, newest first.

    Of the last five minutes, when no time is given.

    A time without an offset is local. With --watch, --since moves along.

    \b
    Examples:
      $ bdemo query range --sensor 1
      $ bdemo query range --sensor 1 --since 1h -o csv
      $ bdemo query range -s 1 --from 2026-11-24T10:00 --to 2026-11-24T11:00
      $ bdemo query range -s 1 -s 2 --since 2m --chart --watch
    """
    _between("range", sensors, (since, from_, to), chart, limit, output, _every(watch, every), _address(url, state_dir))


@app.command("average")
def average(
    sensors: Sensors,
    since: SinceOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    chart: Chart = False,
    limit: Limit = None,
    output: Output = Format.table,
    watch: Watch = False,
    every: Every = "1s",
    url: Url = None,
    state_dir: options.StateDir = None,
) -> None:
    """The averages of a range of time, newest first.

    Of the last five minutes, when no time is given.

    Each reading has one: the mean of its sensor's ten newest readings up to it.

    \b
    Examples:
      $ bdemo query average --sensor 1
      $ bdemo query average --sensor 1 --since 1h -o json
      $ bdemo query average -s 1 -s 2 --since 10m --chart
    """
    _between(
        "average", sensors, (since, from_, to), chart, limit, output, _every(watch, every), _address(url, state_dir)
    )


def _between(
    query: Literal["range", "average"],
    sensors: list[int],
    times: tuple[str | None, str | None, str | None],
    chart: bool,
    limit: int | None,
    output: Format,
    every_s: float | None,
    address: str,
) -> None:
    if chart and output is not Format.table:
        raise UsageError("--chart draws; it cannot be printed as json or csv", hint="leave out --chart or --output")
    _times(*times)  # a wrong time is told before the gateway is asked

    def ask(gateway: Gateway) -> Answer:
        start, end = _times(*times)
        return gateway.between(query, sensors, start, end)

    _run(ask, address=address, output=output, limit=limit, chart=chart, every_s=every_s)


def _run(
    ask: Callable[[Gateway], Answer],
    *,
    address: str,
    output: Format,
    limit: int | None,
    chart: bool,
    every_s: float | None,
) -> None:
    from backend_demo.cli import query_show
    from backend_demo.operations.query import Gateway

    with Gateway(address) as gateway:
        answer = ask(gateway)
        if every_s is None:
            query_show.show(answer, output.value, limit=limit, chart=chart)
        else:
            query_show.watch(answer, lambda: ask(gateway), output.value, limit=limit, chart=chart, every_s=every_s)


def _address(url: str | None, state_dir: Path | None) -> str:
    return url if url is not None else options.attached(state_dir).gateway_url


def _every(watch: bool, every: str) -> float | None:
    from backend_demo.cli.times import duration_s

    return max(0.1, duration_s(every)) if watch else None


def _times(since: str | None, from_: str | None, to: str | None) -> tuple[float, float | None]:
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
