"""`bdemo dlq show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend_demo.cli import options, render
from backend_demo.cli.dlq.selection import chosen, kafka_of

if TYPE_CHECKING:
    from backend_demo.cli.dlq.documents import ShownLetter, WholeLetter


def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="The dead letter's id, as `ls` shows it.")],
    output: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Show one dead letter with its whole payload.

    \b
    Examples:
      $ bdemo dlq show 3:17
      $ bdemo dlq show 3:17 -o json | jq -r .dead_letter.payload
    """
    from backend_demo.cli import loop
    from backend_demo.cli.dlq.documents import ShownLetter

    found = loop.run(_one(options.attached(state_dir), id))
    render.show(ShownLetter(dead_letter=found), output, _view)


async def _one(settings: Any, id: str) -> WholeLetter:
    from backend_demo.cli.dlq.documents import whole
    from backend_demo.operations.dead_letters.letter_log import WantedLetters

    async with kafka_of(settings) as letters:
        ((letter,),) = [some async for some in chosen(letters, [id], WantedLetters(), 1)]
        return whole(letter)


def _view(found: ShownLetter) -> render.View:
    from datetime import datetime

    from backend_demo.cli.dlq.documents import reading_text

    letter = found.dead_letter

    def time_of(seconds: float | None) -> str:
        return "" if seconds is None else datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "milliseconds")

    origin = letter.topic if letter.partition is None else f"{letter.topic}  {letter.partition}:{letter.offset}"
    key = letter.key if isinstance(letter.key, str) else "" if letter.key is None else f"base64: {letter.key['base64']}"
    rows = [
        ("refused", time_of(letter.time)),
        ("by", letter.stage),
        ("reason", letter.reason),
        ("detail", letter.detail),
        ("sensor", "" if letter.sensor is None else letter.sensor),
        ("came from", origin),
        ("key", key),
        ("size", f"{letter.size:,} bytes" + (", of which the beginning was kept" if letter.truncated else "")),
        ("state", f"{letter.state}  {time_of(letter.state_since)}".rstrip()),
        *(("sends" if letter.state == "unfinished" else "sent", reading_text(reading)) for reading in letter.replayed),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        if value != "":
            yield ((f"{name:<{width}}  ", "cyan"), (str(value), None))
    yield ""
    if letter.payload is None:
        yield "no payload"
    else:
        yield letter.payload if letter.encoding == "utf-8" else f"base64: {letter.payload}"
