"""`bdemo trace`: one reading's way, hop by hop."""

from __future__ import annotations

from typing import Annotated

import typer

from backend_demo.cli import options
from backend_demo.domain.topics import SENSOR_MAX
from backend_demo.errors import UsageError


def trace(
    sensor: Annotated[int, typer.Argument(metavar="SENSOR", min=0, help="Number of the sensor.", show_default=False)],
    value: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="What to publish; by default the sensor's newest value again, or 20 for a new sensor.",
            show_default=False,
        ),
    ] = None,
    following: Annotated[
        bool, typer.Option("--next", help="Publish nothing: follow the next reading that the sensor publishes itself.")
    ] = False,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="How long its way may take; with --next also its coming.")
    ] = "10s",
    output: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Follow one reading from MQTT to REST, with milliseconds.

    Publishes a reading and tells when it came to each topic, table and route.
    It is a real reading, the sensor's newest, and stays in the tables.

    `+ms` is the time since the hop that leads there, `ms` since it was
    published; Kafka's records keep whole milliseconds. A table's time is that
    of the commit, a route's that of the first answer with the reading.

    With -o json each hop has name, service, after (the hop that leads there),
    when (epoch seconds), topic, partition, offset, key and value.

    A value that is refused (--value nan, --value 1e9) shows the way to
    dead-letter: exit code 8. Exit code 17: it did not come to its end in time;
    the hint names the service where it stands.

    \b
    Examples:
      $ bdemo trace 1
      $ bdemo trace 1 --next
      $ bdemo trace 1 --value nan
      $ bdemo trace 1 --timeout 1m -o json | jq .total_ms
    """
    from backend_demo.cli import loop, trace_show
    from backend_demo.cli.times import duration_s
    from backend_demo.operations import trace as operation
    from backend_demo.stack.state import StateDirectory

    if sensor > SENSOR_MAX:
        raise UsageError(f"no sensor has the number {sensor}", hint=f"the largest is {SENSOR_MAX}")
    if following and value is not None:
        raise UsageError("--next and --value exclude each other", hint="a reading that is followed has its value")
    timeout_s = duration_s(timeout)
    settings = options.attached(state_dir, mqtt="observer" if following else "sensor")
    with trace_show.picture(shown=output is options.Output.table) as report:
        if following:
            trace_show.note(f"waiting for sensor {sensor} to publish")
        found = loop.run(
            operation.trace(
                settings,
                sensor,
                value=value,
                follow=following,
                rest="gateway" in StateDirectory(settings.state_dir).wanted(),
                timeout_s=timeout_s,
                report=report,
                notify=trace_show.note,
            )
        )
    if output is options.Output.json:
        trace_show.show_json(found)
    else:
        trace_show.show_end(found)
    wrong = operation.problem(found, timeout_s)
    if wrong is not None:
        raise wrong
