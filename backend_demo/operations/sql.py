"""Runs one statement of SQL that reads, and hands out its rows block by block."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import asyncpg
import msgspec

from backend_demo.adapters import postgres
from backend_demo.errors import BdemoError, ConfigurationInvalid, ServiceFailed, TimedOut, UsageError

#: Wait beyond the server's own time limit, seconds: after that, the server itself hangs.
PATIENCE_S = 5.0
CLOSE_TIMEOUT_S = 2.0
#: Longest time limit that PostgreSQL can count, in milliseconds.
LONGEST_TIMEOUT_S = 2_147_483.0
#: Limit for a reader that has stopped (`| less`), seconds: an open transaction holds back vacuum.
IDLE_TIMEOUT_S = 600.0

FIRST_BLOCK, BLOCK = 50, 2000

_T = TypeVar("_T")

_LOST = (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)


@dataclass(frozen=True)
class ResultColumn:
    """A column of a result; no two have the same name."""

    name: str
    type: str
    """PostgreSQL's name of the type; an array's ends in `[]`."""


class Statement:
    """One statement on a connection of its own, in a transaction that only reads, for as long as the block lasts.

    Ctrl-C, and an end of this process however sudden, end it on the server too.
    Raises UsageError (the statement is wrong, or more than one, or would write), ServiceFailed, TimedOut,
    ConfigurationInvalid.
    """

    def __init__(self, dsn: str, text: str, timeout_s: float) -> None:
        """`timeout_s`: for the first row, and for each block of rows, on the server."""
        if not text.strip():
            raise UsageError("the statement is empty", hint='write: bdemo query sql "select ..."')
        if timeout_s > LONGEST_TIMEOUT_S:
            raise UsageError("the time limit is longer than PostgreSQL can count", hint="give at most 24 days")
        self.columns: tuple[ResultColumn, ...] = ()
        self._dsn, self._text, self._timeout_s = dsn, text, timeout_s
        self._connection: Any = None
        self._cursor: Any = None

    def __enter__(self) -> Statement:
        self._runner = asyncio.Runner().__enter__()
        try:
            self._run(self._open())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: object, trace: TracebackType | None) -> None:
        self._close()

    def blocks(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        """All rows, from one snapshot."""
        size = FIRST_BLOCK
        while rows := self._run(self._cursor.fetch(size)):
            yield [tuple(row) for row in rows]
            size = BLOCK

    def _run(self, step: Coroutine[Any, Any, _T]) -> _T:
        async def limited() -> _T:
            async with asyncio.timeout(self._timeout_s + PATIENCE_S):
                return await step

        with self._errors():
            return self._runner.run(limited())

    async def _open(self) -> None:
        limits = postgres.reading_only(statement_timeout_s=self._timeout_s, idle_timeout_s=IDLE_TIMEOUT_S)
        self._connection = await postgres.connect(
            self._dsn, application="bdemo query sql", settings={**limits, "client_connection_check_interval": "1s"}
        )
        if self._connection.get_settings().is_superuser == "on":
            raise ConfigurationInvalid(
                "BDEMO_POSTGRES_READER_DSN names a superuser, who may do anything",
                hint="name a role that may only read, such as bdemo_reader",
            )
        for name, decode in _DECODERS.items():
            await self._connection.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=decode, format="text")
        await self._connection.transaction(readonly=True).start()
        prepared = await self._connection.prepare(self._text)
        attributes = prepared.get_attributes()
        if not attributes:
            raise UsageError(
                "the statement returns no rows, so it was not run",
                hint="use a statement that reads: select, with, values, table",
            )
        self.columns = tuple(
            ResultColumn(name, attribute.type.name)
            for name, attribute in zip(distinct([each.name for each in attributes]), attributes, strict=True)
        )
        self._cursor = await prepared.cursor()

    def _close(self) -> None:
        try:
            if self._connection is not None:
                with contextlib.suppress(*_LOST, TimeoutError, asyncpg.PostgresError):
                    # asyncpg asks the server to cancel what still runs
                    self._runner.run(self._connection.close(timeout=CLOSE_TIMEOUT_S))
                self._connection.terminate()
        finally:
            self._runner.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as problem:
            if self._connection is None:
                raise ServiceFailed("PostgreSQL does not answer", hint="see: bdemo status") from problem
            raise TimedOut("PostgreSQL sent nothing within the time limit", hint="see: bdemo status") from problem
        except asyncpg.PostgresError as problem:
            raise self._explained(problem) from problem
        except _LOST as problem:
            lost = "the connection to PostgreSQL was lost" if self._connection else "PostgreSQL does not answer"
            raise ServiceFailed(lost, hint="see: bdemo status") from problem
        except (ValueError, OverflowError) as problem:
            raise UsageError(
                f"a value cannot be shown: {problem}", hint="cast it to text: add ::text after it"
            ) from problem

    def _explained(self, problem: asyncpg.PostgresError) -> BdemoError:
        state, message = str(problem.sqlstate or ""), str(problem.args[0] if problem.args else problem)
        if state == "57014":
            return TimedOut(
                f"the statement took longer than {self._timeout_s:g} s", hint="give it longer: --timeout 1m"
            )
        if state.startswith(("08", "53", "57P", "25P03")):
            return ServiceFailed(f"PostgreSQL: {message}", hint="see: bdemo status")
        if state.startswith(("28", "3D")):
            return ConfigurationInvalid(
                f"PostgreSQL: {message}", hint="check BDEMO_POSTGRES_READER_DSN, or run: bdemo up"
            )
        place = where(self._text, int(problem.position)) if getattr(problem, "position", None) else ""
        return UsageError(f"{message}{place}", hint=getattr(problem, "hint", None) or _hint(state, message))


#: For the months of an interval and for 24:00 Python has no type; the others are as PostgreSQL writes them.
_DECODERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("json", "jsonb"), msgspec.json.decode),
    **dict.fromkeys(("interval", "time", "timetz", "bit", "varbit"), str),
}

_HINTS = {
    "25006": "this role only reads",
    "42501": "this role only reads, and not everything: temperature and average",
    "42P01": "the tables: temperature and average, with sensor_num, timestamp (epoch seconds), value",
    "42703": "the columns of temperature and average: sensor_num, timestamp (epoch seconds), value",
}


def _hint(state: str, message: str) -> str:
    if "multiple commands" in message:
        return "give one statement at a time"
    return _HINTS.get(state, "see: bdemo query sql --help")


def where(text: str, position: int) -> str:
    """A place in the statement, counted from 1, in words."""
    before = text[: position - 1]
    line, column = before.count("\n") + 1, position - 1 - (before.rfind("\n") + 1) + 1
    return f", at line {line}, column {column}" if "\n" in text.strip() else f", at column {column}"


def distinct(names: Sequence[str]) -> list[str]:
    """The names made unique: one that was there before gets a number, as two columns may have the same name."""
    used, times = set(names), Counter[str]()
    found = []
    for name in names:
        times[name] += 1
        unlike = name
        number = times[name]
        while times[name] > 1 and unlike in used:
            unlike = f"{name}_{number}"
            number += 1
        used.add(unlike)
        found.append(unlike)
    return found
