"""The commands of `bdemo query` that ask the gateway."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from backend_demo.cli import options
from backend_demo.cli.option_groups import GatewayOptions, grouped
from backend_demo.cli.query.options import Printing, PrintOptions, RangeOptions

if TYPE_CHECKING:
    from backend_demo.cli.query.target import Target
    from backend_demo.operations.query import Answer, Gateway, Range


@grouped
def latest(
    sensors: options.Sensors = None,
    shown: PrintOptions = PrintOptions(),
    gateway: GatewayOptions = GatewayOptions(),
) -> None:
    """Show the newest reading of each sensor, by the sensor's own time.

    With --watch, the table is updated; without a terminal, each new reading
    is a line of its own.

    \b
    Examples:
      $ bdemo query latest
      $ bdemo query latest --sensor 1 --sensor kitchen -o json
      $ bdemo query latest --watch
      $ bdemo query latest --url https://gateway.example:8007 --token "$TOKEN" -o latest.csv
    """
    printing = shown.printing()
    with gateway.connect() as client:
        _show(client, lambda: client.latest(sensors or ()), printing)


@grouped
def sensors(
    sensors: options.Sensors = None,
    shown: PrintOptions = PrintOptions(),
    gateway: GatewayOptions = GatewayOptions(),
) -> None:
    """Show what is known of each sensor.

    How many readings it has, when its first and its last one was, and its
    newest value and average.

    \b
    Examples:
      $ bdemo query sensors
      $ bdemo query sensors --sensor 1 --sensor 2 -o json
      $ bdemo query sensors -o sensors.csv
    """
    printing = shown.printing()
    with gateway.connect() as client:
        _show(client, lambda: client.sensors(sensors or (), printing.rows), printing)


@grouped
def range_(
    wanted: RangeOptions = RangeOptions(),
    shown: PrintOptions = PrintOptions(),
    gateway: GatewayOptions = GatewayOptions(),
) -> None:
    """Show the readings of a range of time.

    Without a time, those of the last five minutes. A time without an offset
    is local. With --watch, the range moves along with --since. With --bucket,
    readings are grouped by minute, hour, day and the like.

    A whole range for programs comes sensor by sensor. A file appears only
    when it is complete.

    \b
    Examples:
      $ bdemo query range --sensor 1
      $ bdemo query range --sensor 1 --since 1h -o readings.parquet
      $ bdemo query range -s 1 --from 2026-11-24T10:00 --to 2026-11-24T11:00 -o csv
      $ bdemo query range -s 1 --since 7d --bucket 1h --agg mean,min,max --chart
      $ bdemo query range -s 1 -s 2 --since 2m --chart --watch
    """
    _between("range", wanted, shown, gateway)


@grouped
def average(
    wanted: RangeOptions = RangeOptions(),
    shown: PrintOptions = PrintOptions(),
    gateway: GatewayOptions = GatewayOptions(),
) -> None:
    """Show the averages of a range of time.

    Without a time, those of the last five minutes. Each reading has one
    average: the mean of its sensor's ten newest readings up to it.
    With --bucket, averages are grouped by minute, hour, day and the like.

    \b
    Examples:
      $ bdemo query average --sensor 1
      $ bdemo query average --sensor 1 --since 1h -o json
      $ bdemo query average -s 1 --since 30d --bucket 1d --tz Europe/Berlin -o days.csv
      $ bdemo query average -s 1 -s 2 --since 10m --chart
    """
    _between("average", wanted, shown, gateway)


def _between(
    query: Literal["range", "average"], asked: RangeOptions, shown: PrintOptions, gateway: GatewayOptions
) -> None:
    wanted = asked.rows(query)
    printing = shown.printing(chart=asked.chart)
    asked.times()  # an invalid time is an error before the gateway is asked
    if asked.chart and not printing.rows and not wanted.bucket and wanted.max_points is None:
        wanted = replace(wanted, max_points=2 * shutil.get_terminal_size().columns)

    def now() -> Range:
        start, end = asked.times()
        return replace(wanted, start=start, end=end)

    with gateway.connect() as client:

        def ask() -> Answer:
            if printing.rows is None or wanted.max_points is not None:
                return client.all(now())
            return client.first(now(), printing.rows)

        if printing.every_s is None and printing.target.format != "table" and printing.rows is None:
            _write_all(client, now(), printing.target)
        else:
            _show(client, ask, printing)


def _show(client: Gateway, found: Callable[[], Answer], printing: Printing) -> None:
    """Prints an answer that fits into memory: once, or again and again."""

    def ask() -> Answer:
        return client.named(found()) if printing.target.format == "table" else found()

    if printing.every_s is not None:
        from backend_demo.cli.query.watch import watch

        watch(ask, printing.target.format, limit=printing.limit, chart=printing.chart, every_s=printing.every_s)
        return
    from backend_demo.cli.query import picture

    answer = ask()
    if printing.target.format == "table":
        picture.show(answer, limit=printing.rows, chart=printing.chart)
        return
    from backend_demo.cli.query.answer import row_set

    rows = answer.rows[: printing.rows]
    printing.target.write(row_set(answer, [rows], cut=len(rows) < len(answer.rows)))
    picture.tell(picture.note(answer, rows))


def _write_all(client: Gateway, wanted: Range, target: Target) -> None:
    """Writes every row of the range; however many there are, they are never all in memory."""
    from backend_demo.cli.query.answer import row_set

    count: int | None
    if wanted.bucket or target.format == "json":
        count = target.write(row_set(wanted.answer([]), client.blocks(wanted)))
    else:
        count = target.copy(client.copy(wanted, target.format))
    if count == 0:
        from backend_demo.cli.query import picture

        picture.tell(picture.nothing(wanted.answer([])))
