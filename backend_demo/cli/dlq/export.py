"""`bdemo dlq export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend_demo.cli import options, render
from backend_demo.cli.dlq.selection import FilterOptions, StateFilter, count_of, kafka_of
from backend_demo.errors import UsageError

if TYPE_CHECKING:
    from backend_demo.cli.query.target import Target
    from backend_demo.operations.dead_letters.letter_log import WantedLetters


def export(
    filters: FilterOptions,
    state: Annotated[
        list[StateFilter] | None,
        typer.Option("--state", help="Only those that stand so; may be repeated.", show_default="all"),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FORMAT|FILE", help="ndjson or csv; or a file: out.csv.")
    ] = "ndjson",
    state_dir: options.StateDir = None,
) -> None:
    """Write dead letters as lines of JSON or as CSV, oldest first.

    A payload that is not UTF-8 is written in base64; its encoding says so.

    \b
    Examples:
      $ bdemo dlq export | jq -r .reason | sort | uniq -c
      $ bdemo dlq export --reason json --since 1d -o refused.ndjson
      $ bdemo dlq export -o refused.csv
    """
    from backend_demo.cli import loop
    from backend_demo.cli.query.target import parse_target

    target = parse_target("ndjson" if output == "json" else output)
    if target.format not in ("ndjson", "csv"):
        raise UsageError(f"dead letters cannot be written as {target.format}", hint="choose ndjson or csv")
    wanted = filters.wanted(state or [StateFilter.all])
    count = loop.run(_export(options.attached(state_dir), wanted, target))
    if target.path is not None:
        render.say(f"{count_of(count)} written")


async def _export(settings: Any, wanted: WantedLetters, target: Target) -> int:
    from dataclasses import fields

    import msgspec

    from backend_demo.cli.dlq.documents import WholeLetter, whole
    from backend_demo.cli.query.rows import RowSet, write
    from backend_demo.cli.query.values import as_json

    columns = [field.name for field in fields(WholeLetter)]
    count = 0
    with target.open() as out:
        async with kafka_of(settings) as letters:
            header = True
            async for some in letters.scan(wanted):
                found = [msgspec.to_builtins(whole(letter)) for letter in some]
                block = [[as_json(letter[name]) for name in columns] for letter in found]
                rows = RowSet(columns, [block], {}, lambda: False, lambda: None)
                count += write(rows, target.format, out, header=header)
                header = False
    return count
