"""`bdemo tail api`."""

from __future__ import annotations

import itertools
from enum import StrEnum
from typing import Annotated

import typer

from backend_demo.cli import options
from backend_demo.cli.option_groups import GatewayOptions, grouped
from backend_demo.cli.tail.lines import LineFormat, LineFormatOption, Lines, notify


class StreamTopic(StrEnum):
    """What the gateway streams."""

    readings = "readings"
    averages = "averages"
    dead_letters = "dead-letters"


@grouped
def api(
    topics: Annotated[
        list[StreamTopic] | None,
        typer.Option("--topic", "-t", help="Follow only this topic; may be repeated.", show_default=False),
    ] = None,
    sensors: options.Sensors = None,
    last_id: Annotated[
        str,
        typer.Option("--last-event-id", metavar="ID", help="Start after the event with this id.", show_default=False),
    ] = "",
    count: Annotated[
        int | None, typer.Option("-n", metavar="N", min=1, help="Stop after N events.", show_default=False)
    ] = None,
    output: LineFormatOption = LineFormat.pretty,
    gateway: GatewayOptions = GatewayOptions(),
) -> None:
    """Follow the gateway's live stream: readings, averages and dead letters as they arrive.

    After a lost connection it resumes where it was: no event is missing.

    With -o json each line holds event, id and data; with -o value, the data
    alone. To resume after an event, give its id to --last-event-id.

    \b
    Examples:
      $ bdemo tail api
      $ bdemo tail api --topic averages --sensor 1 --sensor 2
      $ bdemo tail api --topic dead-letters -n 1 -o json
      $ bdemo tail api --url http://gateway.example:8007 -o value | jq .value
    """
    from backend_demo.cli.tail.documents import event_line
    from backend_demo.cli.tail.pretty import PrettyEvents
    from backend_demo.operations.tail.api import follow

    url, token = gateway.address()
    events = follow(
        url,
        topics=topics or (),
        sensors=sensors or (),
        last_id=last_id,
        token=token,
        notify=notify,
    )
    lines = Lines(output, pretty=PrettyEvents, document=event_line, value=lambda event: event.data.encode())
    for event in itertools.islice(events, count):
        lines.print([event])
