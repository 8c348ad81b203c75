"""`bdemo tail`: the data on its way, as Kafka records, as MQTT messages or as events of the gateway."""

from __future__ import annotations

import contextlib
import itertools
import select
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from backend_demo.cli import options
from backend_demo.cli.output import say
from backend_demo.errors import BdemoError, UsageError

if TYPE_CHECKING:
    from backend_demo.operations.tail import Newest, Since

app = typer.Typer(
    help="Watch the data on its way: Kafka records, MQTT messages, the gateway's events.", no_args_is_help=True
)


class Form(StrEnum):
    """How a record or message is printed."""

    pretty = "pretty"
    json = "json"
    value = "value"


FormOption = Annotated[
    Form, typer.Option("--output", "-o", help="Aligned columns, one JSON document a line, or the bare bytes.")
]
SensorOption = Annotated[
    int | None, typer.Option("--sensor", metavar="N", min=0, help="Only what this sensor sent.", show_default=False)
]


@app.command("topic")
def topic(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Kafka topics; all of the pipeline's when none is named."),
    ] = None,
    newest: Annotated[
        int | None,
        typer.Option(
            "-n",
            metavar="N",
            min=0,
            max=100_000,
            help="Begin with the newest N, over all of them.",
            show_default="10",
        ),
    ] = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Begin with the oldest.")] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Begin so long ago (5m), or at a time.", show_default=False),
    ] = None,
    end: Annotated[bool, typer.Option("--exit", help="End with what is there now; do not wait for more.")] = False,
    sensor: SensorOption = None,
    output: FormOption = Form.pretty,
    bootstrap: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Another Kafka than the stack's.", show_default=False),
    ] = None,
    state_dir: options.StateDir = None,
) -> None:
    """Follow Kafka topics, merged by time.

    Shows the newest records of all partitions, then what comes, until Ctrl-C.
    Joins no consumer group: the services do not notice. Dead letters tell why and where they were refused.

    With -o json each line holds topic, partition, offset, timestamp (epoch
    seconds, when it was produced), key, value and headers; what is no UTF-8
    stands there as {"base64": "..."}.

    \b
    Examples:
      $ bdemo tail topic
      $ bdemo tail topic src-data dead-letter --since 5m
      $ bdemo tail topic processed-data --sensor 3 -n 20 --exit
      $ bdemo tail topic --from-beginning --exit -o json | jq .value
      $ bdemo tail topic orders --bootstrap kafka.example:9092 -o value
    """
    from backend_demo.cli import loop
    from backend_demo.cli.tail_format import PrettyRecords, record_json
    from backend_demo.domain.topics import PIPELINE
    from backend_demo.operations import tail

    begin = start(newest, from_beginning, since)
    servers = options.attached(state_dir).kafka_bootstrap if bootstrap is None else _addresses(bootstrap)
    out = _Lines()

    async def show() -> None:
        pretty = PrettyRecords(names or PIPELINE, colour=out.colour)
        told = end
        async with contextlib.aclosing(
            tail.tail(servers, names or (), begin, follow=not end, sensor=sensor, notify=_notify)
        ) as batches:
            async for batch in batches:
                if output is Form.pretty:
                    out.write(out.encode(pretty(record)) for record in batch)
                elif output is Form.json:
                    out.write(record_json(record).encode() for record in batch)
                else:
                    out.write(record.value or b"" for record in batch)
                if not batch and not told:
                    told = True
                    if sys.stderr.isatty():
                        _notify("following; Ctrl-C ends")

    loop.run(show())


@app.command("mqtt")
def mqtt(
    given: Annotated[
        str | None,
        typer.Argument(metavar="FILTER", help="MQTT topic filter; what the bridge subscribes to when none is given."),
    ] = None,
    count: Annotated[
        int | None, typer.Option("-n", metavar="N", min=1, help="End after N messages.", show_default=False)
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="End after this time (90, 5m, 1h30m).", show_default=False),
    ] = None,
    sensor: SensorOption = None,
    output: FormOption = Form.pretty,
    broker: Annotated[
        str | None,
        typer.Option(
            "--mqtt",
            metavar="HOST:PORT",
            help="Another broker than the stack's; BDEMO_MQTT_USERNAME and BDEMO_MQTT_PASSWORD tell who you are.",
            show_default=False,
        ),
    ] = None,
    state_dir: options.StateDir = None,
) -> None:
    """Follow MQTT messages as sensors publish them.

    Keeps no session at the broker: the bridge misses nothing by it.

    With -o json each line holds topic, timestamp (epoch seconds, when it
    came), qos, retain and payload.

    \b
    Examples:
      $ bdemo tail mqtt
      $ bdemo tail mqtt 'sensors/+/temperature' -n 5
      $ bdemo tail mqtt --sensor 3 --duration 30s -o json
      $ bdemo tail mqtt '#' --mqtt broker.example:1883 -o value
    """
    import time

    from backend_demo.cli.tail_format import PrettyMessages, message_json
    from backend_demo.cli.times import duration_s
    from backend_demo.operations import tail_mqtt

    settings = options.attached(state_dir, mqtt="observer") if broker is None else options.settings()
    host, port = (settings.mqtt_host, settings.mqtt_port) if broker is None else address(broker)
    filters = settings.mqtt_filters if given is None else (given,)
    ends_at = time.monotonic() + duration_s(duration) if duration is not None else float("inf")
    left = sys.maxsize if count is None else count
    out = _Lines()
    pretty = PrettyMessages(colour=out.colour)
    server = tail_mqtt.Broker(host, port, settings.mqtt_username, settings.mqtt_password)
    with contextlib.closing(tail_mqtt.tail(server, filters, sensor=sensor, notify=_notify)) as batches:
        for batch in batches:
            shown = batch[:left]
            if output is Form.pretty:
                out.write(out.encode(pretty(message)) for message in shown)
            elif output is Form.json:
                out.write(message_json(message).encode() for message in shown)
            else:
                out.write(message.payload for message in shown)
            left -= len(shown)
            if not left or time.monotonic() > ends_at:
                return


class Topic(StrEnum):
    """What the gateway streams."""

    readings = "readings"
    averages = "averages"
    dead_letters = "dead-letters"


@app.command("api")
def api(
    topics: Annotated[
        list[Topic] | None,
        typer.Option("--topic", "-t", help="What to follow; may be repeated. None: all of it.", show_default=False),
    ] = None,
    sensors: Annotated[
        list[int] | None,
        typer.Option(
            "--sensor", "-s", metavar="N", min=0, help="Sensor number; may be repeated. None: all.", show_default=False
        ),
    ] = None,
    last_id: Annotated[
        str,
        typer.Option("--last-event-id", metavar="ID", help="Begin behind the event with this id.", show_default=False),
    ] = "",
    count: Annotated[
        int | None, typer.Option("-n", metavar="N", min=1, help="End after N events.", show_default=False)
    ] = None,
    output: FormOption = Form.pretty,
    url: options.Url = None,
    token: options.Token = None,
    state_dir: options.StateDir = None,
) -> None:
    """Follow the gateway's live stream: readings, averages and dead letters as they come.

    When the gateway was away, goes on where it was: no event is missing.

    With -o json each line holds event, id and data; with an id, a later tail
    begins behind that event. With -o value, the data alone.

    \b
    Examples:
      $ bdemo tail api
      $ bdemo tail api --topic averages --sensor 1 --sensor 2
      $ bdemo tail api --topic dead-letters -n 1 -o json
      $ bdemo tail api --url http://gateway.example:8007 -o value | jq .value
    """
    from backend_demo.cli.tail_format import PrettyEvents, event_json
    from backend_demo.operations import tail_api

    settings = options.settings(state_dir=state_dir)
    out = _Lines()
    pretty = PrettyEvents(colour=out.colour)
    events = tail_api.follow(
        options.attached(state_dir).gateway_url if url is None else url,
        topics=topics or (),
        sensors=sensors or (),
        last_id=last_id,
        token=settings.gateway_token if token is None else token,
        notify=_notify,
    )
    for event in itertools.islice(events, count):
        if output is Form.pretty:
            line = out.encode(pretty(event))
        elif output is Form.json:
            line = event_json(event).encode()
        else:
            line = event.data.encode()
        out.write([line])


def start(newest: int | None, from_beginning: bool, since: str | None) -> Newest | Since:
    """Where to begin, as the options tell it. Raises UsageError when they contradict."""
    import time

    from backend_demo.cli.times import point_in_time
    from backend_demo.operations.tail import Newest, Since

    if (newest is not None) + from_beginning + (since is not None) > 1:
        raise UsageError("-n, --from-beginning and --since exclude each other", hint="give one of them")
    if from_beginning:
        return Since(0)
    if since is not None:
        return Since(point_in_time(since, time.time()))
    return Newest(10 if newest is None else newest)


def address(given: str) -> tuple[str, int]:
    """Host and port of `host:port`. Raises UsageError."""
    host, _, port = given.strip().rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 1 <= int(port[:6]) <= 65_535:
        raise UsageError(f"no address: {given[:60]!r}", hint="write host:port, for example 127.0.0.1:9092")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _addresses(given: str) -> str:
    for server in given.split(","):
        address(server)
    return given


def _notify(text: str) -> None:
    from rich.markup import escape

    say(f"[dim]{escape(text)}[/dim]")


class _Lines:
    """Lines of bytes on stdout, each batch at once; notices also between them when nobody reads any more."""

    def __init__(self) -> None:
        from rich.console import Console

        console = Console()
        self.colour = console.color_system is not None and not console.no_color
        self._encoding = sys.stdout.encoding
        self._gone = select.poll()
        with contextlib.suppress(OSError, ValueError):  # stdout may be no file at all
            self._gone.register(sys.stdout.fileno(), 0)

    def encode(self, line: str) -> bytes:
        """A line for people, in the encoding of their terminal."""
        return line.encode(self._encoding, errors="backslashreplace")

    def write(self, lines: Iterable[bytes]) -> None:
        """Prints a batch, which may be empty. Raises BrokenPipeError when nobody reads any more."""
        try:
            sys.stdout.buffer.writelines(line + b"\n" for line in lines)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as problem:
            raise BdemoError(f"cannot write the output: {problem.strerror}", hint="is the disk full?") from problem
        if any(event & select.POLLERR for _, event in self._gone.poll(0)):
            raise BrokenPipeError
