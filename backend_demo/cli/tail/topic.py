"""`bdemo tail topic`."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from backend_demo.cli import options
from backend_demo.cli.tail.lines import LineFormat, LineFormatOption, Lines, SensorOption, notify, sent_by
from backend_demo.errors import UsageError

if TYPE_CHECKING:
    from backend_demo.operations.tail.topic import Newest, Since

#: Records to start with when no start is given.
NEWEST = 10


def topic(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Kafka topics.  [default: all topics of the pipeline]"),
    ] = None,
    newest: Annotated[
        int | None,
        typer.Option(
            "-n",
            metavar="N",
            min=0,
            max=100_000,
            help="Start with the newest N records of all topics together.",
            show_default=str(NEWEST),
        ),
    ] = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Start with the oldest record.")] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Start that long ago (5m), or at a time.", show_default=False),
    ] = None,
    end: Annotated[bool, typer.Option("--exit", help="Print what is there and end; do not wait for more.")] = False,
    sensor: SensorOption = None,
    output: LineFormatOption = LineFormat.pretty,
    bootstrap: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Use this Kafka instead of the stack's.", show_default=False),
    ] = None,
    state_dir: options.StateDir = None,
) -> None:
    """Follow Kafka topics, merged by time.

    Prints the newest records of all partitions, then new ones as they arrive,
    until Ctrl-C. It joins no consumer group, so the services do not notice.
    For dead letters it prints why and where they were refused.

    With -o json each line holds topic, partition, offset, timestamp (epoch
    seconds, when it was produced), key, value and headers; bytes that are not
    UTF-8 are printed as {"base64": "..."}.

    \b
    Examples:
      $ bdemo tail topic
      $ bdemo tail topic src-data dead-letter --since 5m
      $ bdemo tail topic processed-data --sensor 3 -n 20 --exit
      $ bdemo tail topic --from-beginning --exit -o json | jq .value
      $ bdemo tail topic orders --bootstrap kafka.example:9092 -o value
    """
    from backend_demo.adapters.kafka import Brokers
    from backend_demo.cli import loop
    from backend_demo.cli.tail.documents import record_line
    from backend_demo.cli.tail.pretty import PrettyRecords
    from backend_demo.domain.topics import PIPELINE
    from backend_demo.operations.tail.topic import tail

    begin = start(newest, from_beginning, since)
    settings = options.attached(state_dir) if bootstrap is None else options.settings()
    brokers = Brokers.of(settings)
    if bootstrap is not None:
        brokers = replace(brokers, bootstrap=_addresses(bootstrap))
    wanted = None if sensor is None else sent_by(sensor, settings)
    lines = Lines(
        output,
        pretty=partial(PrettyRecords, names or PIPELINE),
        document=record_line,
        value=lambda record: record.value or b"",
    )

    async def show() -> None:
        announced = end or not sys.stderr.isatty()
        async with contextlib.aclosing(
            tail(brokers, names or (), begin, follow=not end, wanted=wanted, notify=notify)
        ) as batches:
            async for batch in batches:
                lines.print(batch)
                if not batch and not announced:
                    announced = True
                    notify("waiting for new records; Ctrl-C ends")

    loop.run(show())


def start(newest: int | None, from_beginning: bool, since: str | None) -> Newest | Since:
    """The start that the options name. Raises UsageError when they contradict each other."""
    from backend_demo.cli.times import point_in_time
    from backend_demo.operations.tail.topic import Newest, Since

    if (newest is not None) + from_beginning + (since is not None) > 1:
        raise UsageError("-n, --from-beginning and --since cannot be combined", hint="give one of them")
    if from_beginning:
        return Since(0)
    if since is not None:
        return Since(point_in_time(since, time.time(), "--since"))
    return Newest(NEWEST if newest is None else newest)


def _addresses(given: str) -> str:
    for server in given.split(","):
        options.address("--bootstrap", server)
    return given
