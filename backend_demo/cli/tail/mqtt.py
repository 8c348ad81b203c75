"""`bdemo tail mqtt`."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Annotated

import typer

from backend_demo.cli import options
from backend_demo.cli.tail.lines import LineFormat, LineFormatOption, Lines, SensorOption, notify, sent_by


def mqtt(
    given: Annotated[
        str | None,
        typer.Argument(metavar="FILTER", help="MQTT topic filter.  [default: mqtt_filters]"),
    ] = None,
    count: Annotated[
        int | None, typer.Option("-n", metavar="N", min=1, help="Stop after N messages.", show_default=False)
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Stop after this time (90, 5m, 1h30m).", show_default=False),
    ] = None,
    sensor: SensorOption = None,
    output: LineFormatOption = LineFormat.pretty,
    broker: Annotated[
        str | None,
        typer.Option(
            "--mqtt",
            metavar="ADDRESS",
            help="Use this broker instead of the stack's, HOST:PORT or mqtts://HOST, as BDEMO_MQTT_USERNAME with "
            "BDEMO_MQTT_PASSWORD.",
            show_default=False,
        ),
    ] = None,
    state_dir: options.StateDir = None,
) -> None:
    """Follow MQTT messages as sensors publish them.

    It has a subscription of its own: the pipeline misses nothing.

    With -o json each line holds topic, timestamp (epoch seconds, when it
    arrived), qos, retain and payload.

    \b
    Examples:
      $ bdemo tail mqtt
      $ bdemo tail mqtt 'sensors/+/temperature' -n 5
      $ bdemo tail mqtt --sensor 3 --duration 30s -o json
      $ bdemo tail mqtt '#' --mqtt broker.example:1883 -o value
    """
    from backend_demo.adapters.mqtt import Broker
    from backend_demo.cli.tail.documents import message_line
    from backend_demo.cli.tail.pretty import PrettyMessages
    from backend_demo.cli.times import duration_s
    from backend_demo.mqtt.filters import without_covered
    from backend_demo.operations.tail.mqtt import tail
    from backend_demo.settings import accepted_filters

    settings = options.attached(state_dir, mqtt="observer") if broker is None else options.own_broker(broker)
    filters = without_covered(accepted_filters(settings)) if given is None else [given]
    ends_at = time.monotonic() + duration_s(duration, "--duration") if duration is not None else float("inf")
    left = sys.maxsize if count is None else count
    lines = Lines(output, pretty=PrettyMessages, document=message_line, value=lambda message: message.payload)
    came = tail(Broker.of(settings), filters, wanted=sent_by(sensor, settings), notify=notify)
    with contextlib.closing(came) as batches:
        for batch in batches:
            lines.print(batch[:left])
            left -= len(batch[:left])
            if not left or time.monotonic() > ends_at:
                return
