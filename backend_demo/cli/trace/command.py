"""`bdemo trace`."""

from __future__ import annotations

from typing import Annotated

import typer

from backend_demo.cli import options
from backend_demo.domain.names import SENSOR_MAX
from backend_demo.errors import UsageError


def trace(
    sensor: Annotated[int, typer.Argument(metavar="SENSOR", min=0, help="Number of the sensor.", show_default=False)],
    value: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Value to publish.  [default: the sensor's newest value, or 20 for a new sensor]",
            show_default=False,
        ),
    ] = None,
    following: Annotated[
        bool, typer.Option("--next", help="Follow the sensor's own next reading instead of publishing one.")
    ] = False,
    timeout: Annotated[
        str,
        typer.Option(metavar="DURATION", help="Longest time for the way; with --next, also to wait for the reading."),
    ] = "10s",
    output: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Follow one reading from MQTT to REST, with milliseconds.

    Publishes a reading and shows when it reached each topic, table and route.
    It is a real reading, the sensor's newest, and stays in the tables.

    `+ms` is the time since the previous hop, `ms` the time since it was
    published; Kafka's records keep whole milliseconds. The time of a table is
    that of the commit, the time of a route that of the first answer with the
    reading.

    With -o json each hop has name, service, after (the previous hop), when
    (epoch seconds), topic, partition, offset, key and value.

    A value that is refused (--value nan, --value 1e9) shows the way to
    dead-letter, with exit code 8. With exit code 17 the reading did not reach
    its end in time; the hint names the service where it is stuck.

    \b
    Examples:
      $ bdemo trace 1
      $ bdemo trace 1 --next
      $ bdemo trace 1 --value nan
      $ bdemo trace 1 --timeout 1m -o json | jq .total_ms
    """
    from backend_demo.cli import loop
    from backend_demo.cli.render import show
    from backend_demo.cli.times import duration_s
    from backend_demo.cli.trace.picture import note, picture, view
    from backend_demo.operations.trace import follow
    from backend_demo.operations.trace.document import document
    from backend_demo.stack.services.gateway import GATEWAY
    from backend_demo.stack.state.directory import StateDirectory

    if sensor > SENSOR_MAX:
        raise UsageError(f"invalid sensor number {sensor}", hint=f"the largest is {SENSOR_MAX}")
    if following and value is not None:
        raise UsageError("--next cannot be combined with --value", hint="leave out --value: the reading has its own")
    timeout_s = duration_s(timeout, "--timeout")
    settings = options.attached(state_dir, mqtt="observer" if following else "sensor")
    with picture(shown=output is options.Output.table) as report:
        if following:
            note(f"waiting for sensor {sensor} to publish")
        found = loop.run(
            follow.trace(
                settings,
                sensor,
                value=value,
                follow=following,
                rest=GATEWAY.name in StateDirectory(settings.state_dir).record.copies(),
                timeout_s=timeout_s,
                report=report,
                notify=note,
            )
        )
    show(document(found), output, view, problem=follow.problem(found, timeout_s))
