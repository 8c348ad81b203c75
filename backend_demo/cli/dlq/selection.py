"""Which dead letters a command of `bdemo dlq` is about: by their ids, or by filters."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from backend_demo.cli import options
from backend_demo.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from backend_demo.domain.letter_mark import LetterState
    from backend_demo.operations.dead_letters.letter_log import Letter, LetterLog, WantedLetters

#: How long Kafka may be away, seconds.
PATIENCE_S = 10.0


class StateFilter(StrEnum):
    """How dead letters stand, as a filter."""

    open = "open"
    unfinished = "unfinished"
    replayed = "replayed"
    dismissed = "dismissed"
    all = "all"


IdArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Dead letters by their ids, as `ls` shows them.", show_default=False),
]


@dataclass(frozen=True)
class FilterOptions:
    """Filters of dead letters; all that are given must match."""

    reason: Annotated[
        list[str] | None,
        typer.Option("--reason", metavar="WORD", help="Only this reason; may be repeated.", show_default=False),
    ] = None
    stage: Annotated[
        list[str] | None,
        typer.Option(
            "--stage", metavar="SERVICE", help="Only what this service refused; may be repeated.", show_default=False
        ),
    ] = None
    sensors: options.Sensors = None
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Refused since then: how long ago (5m), or a time.", show_default=False
        ),
    ] = None
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Refused up to then.", show_default=False)] = (
        None
    )

    @property
    def given(self) -> bool:
        """Whether any filter is set."""
        return self != FilterOptions()

    def wanted(self, states: Sequence[StateFilter] = ()) -> WantedLetters:
        """The filters with these states. Raises UsageError."""
        from backend_demo.cli.times import point_in_time
        from backend_demo.operations.dead_letters.letter_log import WantedLetters

        self._check_reasons()
        now = time.time()
        since = None if self.since is None else point_in_time(self.since, now, "--since")
        until = None if self.to is None else point_in_time(self.to, now, "--to")
        if since is not None and until is not None and until < since:
            raise UsageError("the range ends before it starts", hint="give --since a time before --to")
        return WantedLetters(self.reason or (), self.stage or (), self.sensors or (), _states(states), since, until)

    def _check_reasons(self) -> None:
        from typing import get_args

        from backend_demo.domain.reading import Reason

        known = get_args(Reason)
        for reason in self.reason or ():
            if reason not in known:
                raise UnknownName("reason", reason, known)


def _states(given: Sequence[StateFilter]) -> tuple[LetterState, ...]:
    return () if StateFilter.all in given else tuple(cast("LetterState", state.value) for state in given)


def check_chosen(ids: Sequence[str] | None, filters: FilterOptions, everything: bool) -> None:
    """Raises UsageError unless ids, filters or --all are given, and only one of them."""
    if bool(ids) + filters.given + everything != 1:
        raise UsageError(
            "ids, filters and --all cannot be combined" if ids or everything else "which dead letters?",
            hint="give ids (bdemo dlq ls shows them), or filters such as --reason range, or --all",
        )


async def chosen(
    letters: LetterLog, ids: Sequence[str], wanted: WantedLetters, at_once: int
) -> AsyncGenerator[Sequence[Letter], None]:
    """The dead letters with these ids, or without ids the wanted ones, so many at once. Raises UnknownName."""
    from backend_demo.operations.dead_letters.refused import letter_id

    if ids:
        places = {letter_id(text): text for text in ids}
        found = await letters.by_id(places)
        for place, text in places.items():
            if place not in found:
                problem = UnknownName("dead letter", text, [])
                problem.hint = "it may have been deleted; bdemo dlq ls --state all shows what there is"
                raise problem
        for begin in range(0, len(places), at_once):
            yield list(found.values())[begin : begin + at_once]
        return
    async for part in letters.scan(wanted):
        for begin in range(0, len(part), at_once):
            yield part[begin : begin + at_once]


def moment(seconds: float | None) -> str:
    """A time in a table: month, day and time of day, local."""
    return "" if seconds is None else time.strftime("%m-%d %H:%M:%S", time.localtime(seconds))


def count_of(number: int, what: str = "dead letter") -> str:
    """`1 dead letter`, `2 dead letters`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shortened(text: str, width: int) -> str:
    """The text in at most so many characters."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def by_reason(reasons: Iterable[str]) -> str:
    """`3 range, 1 json`."""
    from collections import Counter

    return ", ".join(f"{count:,} {reason}" for reason, count in Counter[str](reasons).most_common())


def kafka_of(settings: Any) -> Any:
    """The dead letters of the stack with these settings, to be opened."""
    from backend_demo.adapters.kafka import Brokers
    from backend_demo.cli.render import say_quickly
    from backend_demo.operations.dead_letters.letter_log import opened

    return opened(Brokers.of(settings), patience_s=PATIENCE_S, notify=say_quickly)
