"""How the commands of `bdemo tail` print: one record, message or event a line, in the format asked for."""

from __future__ import annotations

import contextlib
import select
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

import typer

from backend_demo.cli import options
from backend_demo.cli.render import say
from backend_demo.text import escaped_bytes

if TYPE_CHECKING:
    from backend_demo.settings import Settings

Item = TypeVar("Item")


class LineFormat(StrEnum):
    """How a record, message or event is printed."""

    pretty = "pretty"
    json = "json"
    value = "value"


LineFormatOption = Annotated[
    LineFormat,
    typer.Option("--output", "-o", help="Aligned columns, one JSON document per line, or the value alone."),
]

SensorOption = Annotated[
    int | None,
    typer.Option(
        "--sensor",
        metavar="SENSOR",
        parser=options.sensor,
        help="Only what this sensor sent, a number or a name.",
        show_default=False,
    ),
]


def sent_by(sensor: int | None, settings: Settings) -> Callable[[bytes], bool]:
    """Whether what has this key is the sensor's: its number, or an MQTT topic on which it publishes."""
    if sensor is None:
        return lambda key: True
    from backend_demo.domain.mapping import TopicSensors

    number, sensor_of = b"%d" % sensor, TopicSensors([mapping.compiled() for mapping in settings.mapping])
    return lambda key: key == number or sensor_of(key) == sensor


class Lines(Generic[Item]):
    """Prints lines on stdout, each batch at once, and notices also between batches that nobody reads any more."""

    def __init__(
        self,
        output: LineFormat,
        *,
        pretty: Callable[..., Callable[[Item], str]],
        document: Callable[[Item], bytes],
        value: Callable[[Item], bytes],
    ) -> None:
        """`document` and `value` make an item's line; so does what `pretty` returns when called with `colour`."""
        if output is LineFormat.pretty:
            from backend_demo.cli.console import Console

            console = Console()
            line = pretty(colour=console.color_system is not None and not console.no_color)
            encoding = sys.stdout.encoding  # the terminal's
            self._line: Callable[[Item], bytes] = lambda item: line(item).encode(encoding, errors="backslashreplace")
        else:
            self._line = document if output is LineFormat.json else _value_for_stdout(value)
        self._gone = select.poll()
        with contextlib.suppress(OSError, ValueError):  # stdout may be no file at all
            self._gone.register(sys.stdout.fileno(), 0)

    def print(self, batch: Iterable[Item]) -> None:
        """Prints a batch, which may be empty. Raises BrokenPipeError when nobody reads any more."""
        sys.stdout.buffer.writelines(self._line(item) + b"\n" for item in batch)
        sys.stdout.flush()
        if any(event & select.POLLERR for _, event in self._gone.poll(0)):
            raise BrokenPipeError


def _value_for_stdout(value: Callable[[Item], bytes]) -> Callable[[Item], bytes]:
    """The bytes as they are for a program; a terminal gets them as a line that cannot steer it."""
    return (lambda item: escaped_bytes(value(item)).encode()) if sys.stdout.isatty() else value


def notify(text: str) -> None:
    """Tells the user what happens to the connection, on stderr."""
    from rich.markup import escape

    say(f"[dim]{escape(text)}[/dim]")
