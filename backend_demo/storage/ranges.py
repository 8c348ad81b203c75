"""Reads whole ranges with COPY: PostgreSQL makes the text of each row, and we pass it on."""

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

TableColumn = Literal["id", "sensor_num", "timestamp", "value"]

CopyOutput: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Receives the copied bytes, cut anywhere; PostgreSQL waits until it returns."""

#: Time limit of a checksum, seconds: enough for some millions of rows.
CHECKSUM_TIMEOUT_S = 1

#: Least size of a piece that a CopyOutput receives, but for the first and the last; PostgreSQL sends 8 kB at a time.
PIECE_BYTES = 65_536

#: Bytes of a binary COPY before its rows and after them.
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
    wanted: Selection, columns: Sequence[TableColumn], literals: Sequence[str], connection: Any, output: CopyOutput
) -> None:
    """Copies all rows, a line each: the texts of the columns, and the literals before, between and after them.

    Numbers read back exactly; a float has a point or an exponent. Call it inside `snapshot`.
    """
    words = [_quoted(literals[0])]
    for column, literal in zip(columns, literals[1:], strict=True):
        words += [column, *([_POINT.format(column)] if column in ("timestamp", "value") else []), _quoted(literal)]
    for query, parameters in statements(wanted, f"concat({', '.join(words)})"):
        await _copy(connection, query, parameters, output, "text")


# of 21 PostgreSQL says 21, of 1e15 and above 1e+15
_POINT = "case when {0} = trunc({0}) and abs({0}) < 1e15 then '.0' end"


async def copy_binary(wanted: Selection, connection: Any, output: CopyOutput) -> None:
    """All rows, 38 bytes each: int16 3, then for sensor, timestamp and value int32 8 and its 8 bytes; big-endian.

    Call it inside `snapshot`.
    """
    for query, parameters in statements(wanted, "sensor_num, timestamp, value"):
        await _copy(connection, query, parameters, without_frame(output), "binary")


def without_frame(output: CopyOutput) -> CopyOutput:
    """Passes on the rows of a binary COPY without its header and trailer."""
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
    connection: Any, query: str, parameters: Sequence[object], output: CopyOutput, form: Literal["text", "binary"]
) -> None:
    """Raises QueryTooLong when PostgreSQL sends nothing for too long.

    PostgreSQL's own limit would include the time that the client takes for the whole range.
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
    """A parameter as SQL text: COPY has no parameters."""
    if isinstance(value, list):
        return "'{" + ",".join(f"{int(each):d}" for each in value) + "}'"
    if not isinstance(value, float):  # a text would need quoting, and no parameter is one
        raise TypeError(f"no literal of {type(value).__name__}")
    return f"'{value!r}'"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def checksum(connection: Any, wanted: Selection) -> tuple[int, int] | None:
    """Count and checksum of the selection's rows, ignoring `after`; they change with any row. In a `snapshot`.

    A row's id stands for its sensor and time, which never change; the value of an average does. 0.1 s for a million
    rows; None: there are so many that it takes too long.
    """
    where, parameters = conditions(wanted)
    query = (
        "select count(*), coalesce(bit_xor(hashfloat8extended(value, id)), 0) "  # noqa: S608 - names of ours
        f"from {wanted.series} where {where}"
    )
    try:
        async with connection.transaction():
            await connection.execute(f"set local statement_timeout = '{CHECKSUM_TIMEOUT_S}s'")
            count, hashed = await connection.fetchrow(query, *parameters)
    except asyncpg.QueryCanceledError:
        return None
    return count, hashed
