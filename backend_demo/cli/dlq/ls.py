"""`bdemo dlq ls`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend_demo.cli import options, render
from backend_demo.cli.dlq.selection import FilterOptions, StateFilter, count_of, kafka_of, moment, shortened

if TYPE_CHECKING:
    from backend_demo.cli.dlq.documents import ListedLetters
    from backend_demo.operations.dead_letters.letter_log import WantedLetters

#: Narrowest last column, and the widest number of a sensor that is not cut, characters.
DETAIL_MIN, SENSOR_MAX = 8, 9
#: Space between two columns, and around all of them.
BETWEEN, AROUND = 3, 2


def ls(
    filters: FilterOptions,
    state: Annotated[
        list[StateFilter] | None,
        typer.Option("--state", help="Only those that stand so; may be repeated.", show_default="open, unfinished"),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=0, help="How many; 0 means all.")] = 20,
    output: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """List dead letters, newest first.

    A dead letter is open until it is replayed or dismissed (`bdemo dlq
    purge`). It is unfinished when a replay of it was killed: replay it again.

    \b
    Examples:
      $ bdemo dlq ls
      $ bdemo dlq ls --reason range --sensor 7 --since 1h
      $ bdemo dlq ls --stage collection --state all --limit 0
      $ bdemo dlq ls -o json | jq -r '.dead_letters[].detail'
    """
    from backend_demo.cli import loop

    states = state or [StateFilter.open, StateFilter.unfinished]
    wanted = filters.wanted(states)
    found = loop.run(_newest(options.attached(state_dir), limit, wanted))
    render.show(found, output, lambda document: _view(document, with_state=states != [StateFilter.open]))


async def _newest(settings: Any, limit: int, wanted: WantedLetters) -> ListedLetters:
    from backend_demo.cli.dlq.documents import ListedLetters

    async with kafka_of(settings) as letters:
        total = await letters.total()
        found, truncated = await letters.newest(limit or total or 1, wanted, limit_s=None)
        return ListedLetters(total=total, truncated=truncated, dead_letters=found)


def _view(found: ListedLetters, *, with_state: bool) -> render.View:
    from backend_demo.cli.console import Console

    letters = found.dead_letters
    if not letters:
        render.say(f"none of {count_of(found.total)}" if found.total else "nothing has been refused")
        return
    # an open one needs no word
    with_state = with_state and any(letter.state != "open" for letter in letters)
    rows = [
        [
            letter.id,
            moment(letter.time),
            letter.stage,
            letter.reason,
            "" if letter.sensor is None else shortened(str(letter.sensor), SENSOR_MAX),
            *([letter.state] if with_state else []),
        ]
        for letter in letters
    ]
    columns = ["id", "refused", "by", "reason", "sensor>", *(["state"] if with_state else [])]
    widths = [max(len(name.rstrip(">")), *(len(row[place]) for row in rows)) for place, name in enumerate(columns)]
    room = max(DETAIL_MIN, Console().width - sum(width + BETWEEN for width in widths) - AROUND)
    yield render.Table(
        [*columns, "detail"],
        [[*row, shortened(letter.detail, room)] for row, letter in zip(rows, letters, strict=True)],
    )
    if found.truncated:
        render.say(
            f"the newest {len(letters):,}; use --limit 0 for all. There are {count_of(found.total)} in all states."
        )
