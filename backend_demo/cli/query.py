"""`bdemo query`: readings, averages and sensors, through the gateway; anything else in SQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backend_demo.cli import options, query_sql
from backend_demo.cli import query_options as asked
from backend_demo.errors import UsageError

if TYPE_CHECKING:
    from backend_demo.cli.query_target import Target
    from backend_demo.operations.query import Answer, Gateway, Range

app = typer.Typer(help="Ask the gateway for readings and averages.", no_args_is_help=True)
app.command("sql")(query_sql.sql)


@app.command("latest")
def latest(
    sensors: asked.Sensors = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=0, help="Only the first N sensors; 0: all.", show_default=False),
    ] = None,
    output: asked.Output = "table",
    watch: asked.Watch = False,
    every: asked.Every = "1s",
    url: options.Url = None,
    token: options.Token = None,
    state_dir: options.StateDir = None,
) -> None:
    """The newest reading of each sensor, by the sensor's own time.

    With --watch, a table that changes; without a terminal, a line for each new reading.

    \b
    Examples:
      $ bdemo query latest
      $ bdemo query latest --sensor 1 --sensor 2 -o json
      $ bdemo query latest --watch
      $ bdemo query latest --url https://gateway.example:8007 --token "$TOKEN" -o latest.csv
    """
    every_s, where = asked.every_s(watch, every), _target(output, watch=watch)
    with asked.gateway(url, token, state_dir) as gateway:
        _show(lambda: gateway.latest(sensors or ()), where, limit, every_s)


@app.command("sensors")
def sensors_(
    sensors: asked.Sensors = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=0,
            help="Only the first N sensors; 0: all.  [default: 20 in a table]",
            show_default=False,
        ),
    ] = None,
    output: asked.Output = "table",
    watch: asked.Watch = False,
    every: asked.Every = "1s",
    url: options.Url = None,
    token: options.Token = None,
    state_dir: options.StateDir = None,
) -> None:
    """What is known of each sensor: how many readings, since when, the newest.

    \b
    Examples:
      $ bdemo query sensors
      $ bdemo query sensors --sensor 1 --sensor 2 -o json
      $ bdemo query sensors -o sensors.csv
    """
    every_s, where = asked.every_s(watch, every), _target(output, watch=watch)
    first = _table_limit(where, limit)
    with asked.gateway(url, token, state_dir) as gateway:
        _show(lambda: gateway.sensors(sensors or (), first), where, limit, every_s)


_RANGE = """The readings of a range of time, newest first; or what they were by minute, hour, day.

    Of the last five minutes, when no time is given.

    A time without an offset is local. With --watch, --since moves along. A whole range for programs comes sensor by
    sensor; a file is there only when it is whole.

    \b
    Examples:
      $ bdemo query range --sensor 1
      $ bdemo query range --sensor 1 --since 1h -o readings.parquet
      $ bdemo query range -s 1 --from 2026-11-24T10:00 --to 2026-11-24T11:00 -o csv
      $ bdemo query range -s 1 --since 7d --bucket 1h --agg mean,min,max --chart
      $ bdemo query range -s 1 -s 2 --since 2m --chart --watch
    """

_AVERAGE = """The averages of a range of time, newest first; or what they were by minute, hour, day.

    Of the last five minutes, when no time is given.

    Each reading has one: the mean of its sensor's ten newest readings up to it.

    \b
    Examples:
      $ bdemo query average --sensor 1
      $ bdemo query average --sensor 1 --since 1h -o json
      $ bdemo query average -s 1 --since 30d --bucket 1d --tz Europe/Berlin -o days.csv
      $ bdemo query average -s 1 -s 2 --since 10m --chart
    """


def _of_a_range(query: Literal["range", "average"], told: str) -> Callable[..., None]:
    """The command with that name; `told`: its help. Both have the same options."""

    def command(
        sensors: asked.Sensors = None,
        since: asked.SinceOption = None,
        from_: asked.FromOption = None,
        to: asked.ToOption = None,
        bucket: asked.Bucket = None,
        agg: asked.Agg = None,
        tz: asked.Zone = None,
        order: asked.OrderOption = asked.Order.desc,
        max_points: asked.MaxPoints = None,
        chart: asked.Chart = False,
        limit: asked.Limit = None,
        output: asked.Output = "table",
        watch: asked.Watch = False,
        every: asked.Every = "1s",
        url: options.Url = None,
        token: options.Token = None,
        state_dir: options.StateDir = None,
    ) -> None:
        wanted = asked.rows_of(query, sensors, order, bucket, agg, tz, max_points)
        address = url, token, state_dir
        _between(wanted, (since, from_, to), chart, limit, output, asked.every_s(watch, every), address)

    command.__doc__ = told
    return command


app.command("range")(_of_a_range("range", _RANGE))
app.command("average")(_of_a_range("average", _AVERAGE))


def _between(
    wanted: Range,
    times: tuple[str | None, str | None, str | None],
    chart: bool,
    limit: int | None,
    output: str,
    every_s: float | None,
    address: tuple[str | None, str | None, Path | None],
) -> None:
    where = _target(output, watch=every_s is not None, chart=chart)
    asked.times(*times)  # a wrong time is told before the gateway is asked
    if chart and not limit and not wanted.bucket and wanted.max_points is None:
        wanted = replace(wanted, max_points=2 * shutil.get_terminal_size().columns)
    first = None if chart and not limit else _table_limit(where, limit)

    def now() -> Range:
        start, end = asked.times(*times)
        return replace(wanted, start=start, end=end)

    with asked.gateway(*address) as gateway:

        def ask() -> Answer:
            if first is None or wanted.max_points is not None:
                return gateway.all(now())
            return gateway.first(now(), first)

        if every_s is None and where.form != "table" and not limit:
            _write_all(gateway, now(), where)
        else:
            _show(ask, where, limit, every_s, chart=chart)


def _show(
    ask: Callable[[], Answer], where: Target, limit: int | None, every_s: float | None, *, chart: bool = False
) -> None:
    """An answer that fits in memory: once, or again and again."""
    if every_s is not None:
        from backend_demo.cli import query_watch

        query_watch.watch(ask, where.form, limit=limit, chart=chart, every_s=every_s)
        return
    from backend_demo.cli import query_show

    answer = ask()
    if where.form == "table":
        query_show.show(answer, limit=limit, chart=chart)
        return
    from backend_demo.cli import query_print

    rows = query_show.limited(answer, limit)
    with where.open() as out:
        count = query_print.write(where.form, answer, [rows], out, cut=len(rows) < len(answer.rows))
    where.tell(count)
    query_show.tell(query_show.note(answer, rows))


def _write_all(gateway: Gateway, wanted: Range, where: Target) -> None:
    """However many rows there are, they are never all in memory."""
    from backend_demo.cli import query_print, query_show

    count: int | None
    with where.open() as out:
        if wanted.bucket or where.form == "json":
            count = query_print.write(where.form, wanted.answer([]), gateway.blocks(wanted), out)
        else:
            count = query_print.copy(where.form, gateway.copy(wanted, where.form), out)
    where.tell(count)
    if count == 0:
        query_show.tell(query_show.nothing(wanted.answer([])))


def _target(output: str, *, watch: bool, chart: bool = False) -> Target:
    from backend_demo.cli.query_target import target

    where = target(output)
    if chart and where.form != "table":
        raise UsageError(f"--chart draws; it cannot be written as {where.form}", hint="leave out --chart or --output")
    if watch and (where.path is not None or where.form == "parquet"):
        raise UsageError(
            "--watch never ends: a file would never be whole", hint="leave out --watch, or: -o ndjson >FILE"
        )
    return where


def _table_limit(where: Target, limit: int | None) -> int | None:
    """How many rows to ask for; None: all."""
    from backend_demo.cli.query_show import TABLE_ROWS

    return (TABLE_ROWS if limit is None and where.form == "table" else limit) or None
