"""`bdemo dlq replay`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend_demo.cli import options, render
from backend_demo.cli.dlq.selection import (
    FilterOptions,
    IdArguments,
    StateFilter,
    by_reason,
    check_chosen,
    chosen,
    count_of,
    kafka_of,
    shortened,
)
from backend_demo.errors import UsageError, VerificationFailed

if TYPE_CHECKING:
    from backend_demo.cli.dlq.documents import ReplayResult
    from backend_demo.domain.replay import Edit
    from backend_demo.operations.dead_letters.letter_log import WantedLetters
    from backend_demo.operations.dead_letters.replay import LetterReplay

#: Rows of the table.
ROWS = 20
_SET_HINT = "write --set value=21.5, --set timestamp=2026-11-24T10:00:00Z or --set sensor=7"


def replay(
    filters: FilterOptions,
    ids: IdArguments = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Send another value, timestamp or sensor; may be repeated.",
            show_default=False,
        ),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="Read the payloads with the mappings of this file, written as in bdemo.toml.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; send nothing.")] = False,
    output: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Send dead letters through the pipeline again, each exactly once.

    The reading in each is sent to the first topic of the pipeline, and the
    dead letter is marked as replayed: a second replay sends nothing. One that
    was killed is finished by the next. What the pipeline would refuse again is
    not sent; the exit code is then 8.

    Without an edit a payload is read as the pipeline reads it now, so also
    with mappings and limits that the stack has been started with since.

    \b
    Examples:
      $ bdemo dlq replay 3:17 --set value=21.5
      $ bdemo dlq replay --reason future --since 1d --map milliseconds.toml
      $ bdemo dlq replay --stage processing --sensor 7 --dry-run
      $ bdemo dlq replay --all
    """
    from backend_demo.cli import loop
    from backend_demo.stack.state.secrets import KAFKA_ADMIN

    check_chosen(ids, filters, everything)
    edit = parse_edit(changes or (), mapping)
    wanted = filters.wanted([StateFilter.open, StateFilter.unfinished])
    settings = options.attached(state_dir, kafka=KAFKA_ADMIN)
    found = loop.run(_replay(settings, ids or (), wanted, edit, dry_run=dry_run))
    render.show(found, output, _view, problem=_problem(found))


def parse_edit(changes: Sequence[str], mapping: Path | None) -> Edit:
    """What `--set` and `--map` change. Raises UsageError, ConfigurationInvalid."""
    from backend_demo.domain.mapping import Mappings
    from backend_demo.domain.names import name_problem
    from backend_demo.domain.reading import epoch_seconds, finite_number
    from backend_demo.domain.replay import Edit
    from backend_demo.settings_mapping import read_mappings

    given: dict[str, Any] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name not in ("sensor", "timestamp", "value"):
            raise UsageError(f"--set: invalid change {change[:60]!r}", hint=_SET_HINT)
        if name in given:
            raise UsageError(f"--set: {name} is given twice", hint=_SET_HINT)
        if name == "sensor":
            problem = name_problem(text)
            if problem is not None:
                raise UsageError(f"--set: invalid sensor {text[:60]!r}: {problem}", hint=_SET_HINT)
            given[name] = text
        else:
            given[name] = finite_number(text) if name == "value" else epoch_seconds(text)
            if given[name] is None:
                raise UsageError(f"--set: invalid {name} {text[:60]!r}", hint=_SET_HINT)
    return Edit(**given, mappings=None if mapping is None else Mappings(read_mappings(mapping)))


async def _replay(
    settings: Any, ids: Sequence[str], wanted: WantedLetters, edit: Edit, *, dry_run: bool
) -> ReplayResult:
    from backend_demo.cli.dlq.documents import ReplayResult
    from backend_demo.operations.dead_letters.replay import AT_ONCE, limits_of, plan, replayer

    results: list[LetterReplay] = []
    limits = limits_of(settings)
    async with kafka_of(settings) as letters, replayer(settings, letters) as sender:
        async for some in chosen(letters, ids, wanted, AT_ONCE):
            planned = plan(some, edit, limits, time.time())
            results += [each.result for each in planned] if dry_run else await sender.replay(planned)
    counts = Counter(result.outcome for result in results)
    return ReplayResult(
        dry_run=dry_run,
        replayed=counts["replayed"],
        finished=counts["finished"],
        refused=counts["refused"],
        skipped=counts["skipped"],
        dead_letters=results,
    )


def _problem(found: ReplayResult) -> VerificationFailed | None:
    if not found.refused:
        return None
    reasons = by_reason(result.reason or "" for result in found.dead_letters if result.outcome == "refused")
    return VerificationFailed(
        f"{count_of(found.refused)} would be refused again ({reasons}) and {'was' if found.refused == 1 else 'were'} "
        "not sent",
        hint="change what is wrong: --set value=21.5, or --map FILE; see: bdemo dlq replay --help",
    )


def _view(found: ReplayResult) -> render.View:
    from backend_demo.cli.console import Console

    if not found.dead_letters:
        render.say("no dead letter matches")
        return
    results = sorted(found.dead_letters, key=lambda result: result.outcome != "refused")[:ROWS]
    texts = [_text(result) for result in results]
    ids = max(len(result.id) for result in results)
    room = max(20, Console().width - ids - len("replayed") - 8)
    yield render.Table(
        ("id", "outcome", ""),
        [
            (result.id, _word(result, dry_run=found.dry_run), shortened(text, room))
            for result, text in zip(results, texts, strict=True)
        ],
    )
    sent = found.replayed + found.finished
    did = "would be replayed" if found.dry_run else "replayed"
    more = f"; {len(found.dead_letters) - ROWS:,} more not shown" if len(found.dead_letters) > ROWS else ""
    others = [f"{count:,} {word}" for word, count in (("refused", found.refused), ("skipped", found.skipped)) if count]
    yield ", ".join([f"{count_of(sent)} {did}", *others]) + more


def _word(result: LetterReplay, *, dry_run: bool) -> str:
    return "to send" if dry_run and result.outcome in ("replayed", "finished") else result.outcome


def _text(result: LetterReplay) -> str:
    from backend_demo.cli.dlq.documents import reading_text

    if result.detail is not None:
        return f"{result.reason}: {result.detail}" if result.reason else result.detail
    first, *others = map(reading_text, result.readings)
    return f"{first} and {len(others)} more" if others else first
