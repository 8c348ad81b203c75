"""`bdemo dlq purge`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend_demo.cli import options, render
from backend_demo.cli.dlq.selection import FilterOptions, IdArguments, StateFilter, chosen, count_of, kafka_of
from backend_demo.errors import UsageError

if TYPE_CHECKING:
    from backend_demo.cli.dlq.documents import PurgeResult
    from backend_demo.operations.dead_letters.letter_log import Letter, WantedLetters


def purge(
    filters: FilterOptions,
    ids: IdArguments = None,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="TIME", help="Delete what was refused before then.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete all dead letters.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show how many there are; change nothing.")] = False,
    output: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Delete dead letters by time, or dismiss those that are chosen.

    Kafka can only delete the oldest records of a topic: --before and --all
    delete dead letters for good, whatever became of them. With ids or filters
    those that are open are dismissed: they stay in Kafka, marked, and are
    listed with `bdemo dlq ls --state dismissed`.

    \b
    Examples:
      $ bdemo dlq purge 3:17
      $ bdemo dlq purge --reason rights --since 1d --dry-run
      $ bdemo dlq purge --before 30d
      $ bdemo dlq purge --all --yes
    """
    from backend_demo.cli import loop
    from backend_demo.cli.times import point_in_time
    from backend_demo.stack.state.secrets import KAFKA_ADMIN

    if bool(ids) + filters.given + everything + (before is not None) != 1:
        raise UsageError(
            "give one of: ids, filters, --before, --all",
            hint="--before 30d deletes the oldest; ids and filters such as --reason rights dismiss",
        )
    confirm = _Confirmation(yes=yes, dry_run=dry_run)
    until = None if before is None else point_in_time(before, time.time(), "--before")
    wanted = filters.wanted([StateFilter.open])
    settings = options.attached(state_dir, kafka=KAFKA_ADMIN)
    if ids or filters.given:
        done = loop.run(_dismiss(settings, ids or (), wanted, confirm))
    else:
        done = loop.run(_delete(settings, until, confirm))
    render.show(done, output, _view)


@dataclass(frozen=True)
class _Confirmation:
    yes: bool
    dry_run: bool

    def __call__(self, verb: str, count: int) -> bool:
        """Whether to go on. Raises UsageError where nobody can be asked; typer.Abort: the answer is no."""
        if self.dry_run or not count:
            return False
        if self.yes:
            return True
        what = f"{verb} {count_of(count)}"
        if not sys.stdin.isatty():
            raise UsageError(f"this would {what}", hint="add --yes, or look first: --dry-run")
        return typer.confirm(f"{what.capitalize()}?", err=True, abort=True)


async def _dismiss(settings: Any, ids: Sequence[str], wanted: WantedLetters, confirm: _Confirmation) -> PurgeResult:
    from backend_demo.cli.dlq.documents import PurgeResult
    from backend_demo.operations.dead_letters.replay import AT_ONCE, replayer

    async with kafka_of(settings) as letters, replayer(settings, letters) as marker:
        found: list[Letter] = []
        async for some in chosen(letters, ids, wanted, AT_ONCE):
            found += (letter for letter in some if letter.standing.state == "open")
        if confirm("dismiss", len(found)):
            await marker.dismiss(found)
        return PurgeResult(dry_run=confirm.dry_run, how="dismissed", count=len(found))


async def _delete(settings: Any, until: float | None, confirm: _Confirmation) -> PurgeResult:
    from backend_demo.adapters.kafka import Brokers
    from backend_demo.cli.dlq.documents import PurgeResult
    from backend_demo.operations.dead_letters.purge import delete, older

    async with kafka_of(settings) as letters:
        upto, count = await older(letters, until)
        if confirm("delete", count):
            await delete(Brokers.of(settings), letters, upto)
        return PurgeResult(dry_run=confirm.dry_run, how="deleted", count=count)


def _view(done: PurgeResult) -> render.View:
    """Nothing on stdout: this is a message."""
    would = "would be " if done.dry_run else ""
    render.say(f"{count_of(done.count)} {would}{done.how}")
    return ()
