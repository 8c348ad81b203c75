"""Whole ranges, as PostgreSQL copies them out: it makes the text of a row, and we hand it on."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal, TypeAlias

import asyncpg
from asyncpg.protocol import NO_TIMEOUT

from backend_demo.storage.pool import STATEMENT_TIMEOUT_S, QueryTooLong
from backend_demo.storage.selection import Selection, conditions, statements

Column = Literal["id", "sensor_num", "timestamp", "value"]

Output: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Takes what was copied, cut anywhere; PostgreSQL waits until it returns."""

#: Enough for some millions of rows.
CHECKSUM_TIMEOUT_S = 1

#: What an Output is given at once, but for the first piece and the last; PostgreSQL sends 8 kB at a time.
PIECE_BYTES = 65_536

#: What a binary COPY has before its rows, and behind them.
_HEADER_BYTES, _TRAILER_BYTES = 19, 2

# PostgreSQL would rather sort a large range than follow the index through it, and would give the first row of a million
# after 0.5 s
_IN_ORDER = """
set local enable_sort = off; set local enable_seqscan = off; set local enable_bitmapscan = off;
set local max_parallel_workers_per_gather = 0; set local jit = off
"""


@contextlib.asynccontextmanager
async def snapshot(connection: Any) -> AsyncIterator[None]:
    """One state of the tables for all that is read in the block, in the order of the primary key's index."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(_IN_ORDER)
        yield


async def copy_lines(
    wanted: Selection, columns: Sequence[Column], literals: Sequence[str], connection: Any, output: Output
) -> None:
    """All rows, a line each: the texts of the columns, with the literals before, between and behind them.

    A number is written so that it is read back exactly, a float with a point or an exponent. In a snapshot.
    """
    words = [_quoted(literals[0])]
    for column, literal in zip(columns, literals[1:], strict=True):
        words += [column, *([_POINT.format(column)] if column in ("timestamp", "value") else []), _quoted(literal)]
    for query, parameters in statements(wanted, f"concat({', '.join(words)})"):
        await _copy(connection, query, parameters, output, "text")


# of 21 PostgreSQL says 21, of 1e15 and above 1e+15
_POINT = "case when {0} = trunc({0}) and abs({0}) < 1e15 then '.0' end"


async def copy_binary(wanted: Selection, connection: Any, output: Output) -> None:
    """All rows, 38 bytes each: int16 3, then for sensor, timestamp and value int32 8 and its 8 bytes; big-endian.

    In a snapshot.
    """
    for query, parameters in statements(wanted, "sensor_num, timestamp, value"):
        await _copy(connection, query, parameters, without_frame(output), "binary")


def without_frame(output: Output) -> Output:
    """Hands on the rows of a binary COPY, without what stands before and behind them."""
    header, held = _HEADER_BYTES, b""

    async def unframed(data: bytes) -> None:
        nonlocal header, held
        data = held + data
        begin = min(header, len(data))
        header -= begin
        end = max(begin, len(data) - _TRAILER_BYTES)
        held = data[end:]
        if begin < end:
            await output(data[begin:end])

    return unframed


async def _copy(
    connection: Any, query: str, parameters: Sequence[object], output: Output, form: Literal["text", "binary"]
) -> None:
    """Raises QueryTooLong when PostgreSQL has nothing to give for too long.

    Its own limit of time would count how long the client takes for the whole range.
    """
    query = re.sub(r"\$(\d+)", lambda number: _literal(parameters[int(number[1]) - 1]), query)
    await connection.execute("set local statement_timeout = 0")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(STATEMENT_TIMEOUT_S) as patience:
            pieces: list[bytes] = []
            room = 0

            async def patiently(data: bytes) -> None:
                nonlocal room
                pieces.append(data)
                room -= len(data)
                if room <= 0:
                    patience.reschedule(None)
                    await output(b"".join(pieces))
                    pieces.clear()
                    room = PIECE_BYTES
                patience.reschedule(loop.time() + STATEMENT_TIMEOUT_S)

            await connection.copy_from_query(query, output=patiently, format=form, timeout=NO_TIMEOUT)
            patience.reschedule(None)
            if pieces:
                await output(b"".join(pieces))
    except TimeoutError as problem:
        if patience.expired():
            raise QueryTooLong from problem
        raise


def _literal(value: object) -> str:
    """A parameter of ours in SQL: COPY takes none."""
    if isinstance(value, list):
        return "'{" + ",".join(f"{int(each):d}" for each in value) + "}'"
    assert isinstance(value, float)
    return f"'{value!r}'"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def checksum(connection: Any, wanted: Selection) -> tuple[int, int] | None:
    """A count and a checksum of the selection's rows, `after` left out: they change with any row of it. In a snapshot.

    A row's id stands for its sensor and time, which never change; the value of an average does. 0.1 s for a million
    rows; None when there are so many that it takes too long.
    """
    where, parameters = conditions(wanted)
    query = f"select count(*), coalesce(bit_xor(hashfloat8extended(value, id)), 0) from {wanted.series} where {where}"
    try:
        async with connection.transaction():
            await connection.execute(f"set local statement_timeout = '{CHECKSUM_TIMEOUT_S}s'")
            count, hashed = await connection.fetchrow(query, *parameters)
    except asyncpg.QueryCanceledError:
        return None
    return count, hashed
