"""`bdemo query sql`: a statement that reads the database."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from backend_demo.cli import options
from backend_demo.cli.query.options import TABLE_ROWS, LimitOption, OutputOption
from backend_demo.errors import UsageError
from backend_demo.text import escaped

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import RenderableType

    from backend_demo.operations.sql import ResultColumn, Statement

SCHEMA = "bdemo.sql/1"


def sql(
    statement: Annotated[
        str | None,
        typer.Argument(metavar="SELECT", help="The statement; - reads it from stdin.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="PATH", help="Read the statement from a file.", show_default=False),
    ] = None,
    limit: LimitOption = None,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="Longest wait for the next rows.")
    ] = "10s",
    output: OutputOption = "table",
    state_dir: options.StateDir = None,
) -> None:
    """Query the database itself, in SQL, as a role that may only read.

    The tables temperature and average have sensor_num, timestamp (epoch
    seconds) and value. Ctrl-C stops the statement in the database as well.
    BDEMO_POSTGRES_READER_DSN names another database.

    \b
    Examples:
      $ bdemo query sql 'select sensor_num, count(*), avg(value) from temperature group by 1 order by 1'
      $ bdemo query sql 'select to_timestamp(timestamp) as time, * from average' -o averages.parquet
      $ bdemo query sql --file report.sql --timeout 5m -o csv
      $ echo 'table temperature' | bdemo query sql - -o ndjson
    """
    from backend_demo.cli.query.rows import RowSet
    from backend_demo.cli.query.target import parse_target
    from backend_demo.cli.render import print_parts, say
    from backend_demo.cli.times import duration_s
    from backend_demo.operations.sql import Statement

    target, timeout_s = parse_target(output), duration_s(timeout, "--timeout")
    with Statement(_dsn(state_dir), _text(statement, file), timeout_s) as running:
        rows = _FirstRows(running, (TABLE_ROWS if limit is None and target.format == "table" else limit) or None)
        if target.format == "table":
            print_parts([_table(running.columns, [row for block in rows for row in block])])
            if not rows.count:
                say("no rows")
        else:
            columns = [{"name": column.name, "type": column.type} for column in running.columns]
            target.write(
                RowSet(
                    columns=[column.name for column in running.columns],
                    blocks=rows,
                    head={"schema": SCHEMA, "columns": columns},
                    truncated=lambda: rows.more,
                    arrow_schema=lambda: _arrow_schema(running.columns),
                )
            )
    if rows.more:
        say(f"showing the first {rows.count:,}; use --limit 0 for all")


def _dsn(state_dir: Path | None) -> str:
    from backend_demo.stack.state.directory import StateDirectory

    settings = options.settings(state_dir=state_dir)
    return settings.postgres_reader_dsn or StateDirectory(settings.state_dir).postgres_dsn("bdemo_reader")


def _text(statement: str | None, file: Path | None) -> str:
    if (statement is None) == (file is None):
        raise UsageError(
            "give a statement, or --file with the file it is in", hint='write: bdemo query sql "select ..."'
        )
    try:
        if file is not None:
            return file.read_text()
        return sys.stdin.read() if statement == "-" else str(statement)
    except OSError as problem:
        raise UsageError(f"cannot read {file or 'stdin'}: {problem.strerror}", hint="check --file") from problem
    except UnicodeDecodeError as problem:
        raise UsageError(f"{file or 'stdin'} is not UTF-8 text", hint="check --file") from problem


class _FirstRows:
    """The first rows of a statement, or all; how many there were, and whether there are more."""

    def __init__(self, statement: Statement, limit: int | None) -> None:
        self._statement, self._limit = statement, limit
        self.count = 0
        self.more = False

    def __iter__(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        for block in self._statement.blocks():
            left = None if self._limit is None else self._limit - self.count
            rows = block[:left]
            self.count += len(rows)
            yield rows
            if len(rows) < len(block):
                self.more = True
                return


_NUMBERS = ("int2", "int4", "int8", "float4", "float8", "numeric", "oid")
#: A table whose columns would be narrower is of no use, characters.
_COLUMN_LEAST = 8


def _table(columns: Sequence[ResultColumn], rows: Sequence[Sequence[Any]]) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from backend_demo.cli.console import Console
    from backend_demo.cli.query.values import as_text

    def cell(value: Any) -> Text:
        return Text("null", style="dim") if value is None else Text(escaped(as_text(value)))

    if len(columns) * (_COLUMN_LEAST + 2) > Console().width:  # one value per line, with the name of its column
        table = Table(box=box.SIMPLE, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for row in rows:
            for column, value in zip(columns, row, strict=True):
                table.add_row(Text(escaped(column.name)), cell(value))
            table.add_section()
    else:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for column in columns:
            justify: Literal["left", "right"] = "right" if column.type in _NUMBERS else "left"
            table.add_column(Text(escaped(column.name)), justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*map(cell, row))
    return table


def _arrow_schema(columns: Sequence[ResultColumn]) -> pa.Schema:
    """Types of a Parquet file: PostgreSQL's where Arrow has them; `numeric` becomes a double, the rest text."""
    import pyarrow as pa

    types = {
        "bool": pa.bool_(),
        "int2": pa.int16(),
        "int4": pa.int32(),
        "int8": pa.int64(),
        "oid": pa.int64(),
        "float4": pa.float32(),
        "float8": pa.float64(),
        "numeric": pa.float64(),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", "UTC"),
        "date": pa.date32(),
        "bytea": pa.binary(),
    }

    def arrow(name: str) -> pa.DataType:
        if name.endswith("[]"):
            return pa.list_(arrow(name.removesuffix("[]")))
        return types.get(name, pa.string())

    return pa.schema([(column.name, arrow(column.type)) for column in columns])
