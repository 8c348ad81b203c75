"""`bdemo query sql`: a statement that reads the database."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from backend_demo.cli import options
from backend_demo.cli.query_options import Output
from backend_demo.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from backend_demo.cli.query_target import Target
    from backend_demo.operations.sql import Column, Statement

SCHEMA = "bdemo.sql/1"


def sql(
    statement: Annotated[
        str | None, typer.Argument(metavar="SELECT", help="The statement; -: read it from stdin.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="PATH", help="Read it from a file.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=0,
            help="Only the first N rows; 0: all.  [default: 20 in a table]",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long the database may take for the next rows.")
    ] = "10s",
    output: Output = "table",
    state_dir: options.StateDir = None,
) -> None:
    """Ask the database itself, in SQL.

    As a role that may only read: the tables temperature and average have sensor_num, timestamp (epoch seconds) and
    value. Ctrl-C ends the statement in the database too. BDEMO_POSTGRES_READER_DSN names another database.

    \b
    Examples:
      $ bdemo query sql 'select sensor_num, count(*), avg(value) from temperature group by 1 order by 1'
      $ bdemo query sql 'select to_timestamp(timestamp) as time, * from average' -o averages.parquet
      $ bdemo query sql --file report.sql --timeout 5m -o csv
      $ echo 'table temperature' | bdemo query sql - -o ndjson
    """
    from backend_demo.cli.query_target import target
    from backend_demo.cli.times import duration_s
    from backend_demo.operations.sql import Statement

    where, timeout_s = target(output), duration_s(timeout)
    with Statement(_dsn(state_dir), _text(statement, file), timeout_s) as running:
        _show(running, where, limit)


def _dsn(state_dir: Path | None) -> str:
    from backend_demo.stack.state import StateDirectory

    settings = options.settings(state_dir=state_dir)
    return settings.postgres_reader_dsn or StateDirectory(settings.state_dir).postgres_dsn("bdemo_reader")


def _text(statement: str | None, file: Path | None) -> str:
    if (statement is None) == (file is None):
        raise UsageError("give the statement, or a file that it is in", hint='write: bdemo query sql "select ..."')
    try:
        if file is not None:
            return file.read_text()
        return sys.stdin.read() if statement == "-" else str(statement)
    except OSError as problem:
        raise UsageError(f"cannot read {file or 'stdin'}: {problem.strerror}", hint="look at --file") from problem
    except UnicodeDecodeError as problem:
        raise UsageError(f"{file or 'stdin'} is no text in UTF-8", hint="look at --file") from problem


class _First:
    """The first rows, or all, and whether there were more."""

    def __init__(self, statement: Statement, limit: int | None) -> None:
        self._statement, self._left = statement, limit
        self.more = False

    def __iter__(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        for rows in self._statement.blocks():
            if self._left is None:
                yield rows
                continue
            yield rows[: self._left]
            self.more = len(rows) > self._left
            self._left -= min(self._left, len(rows))
            if self.more:
                return


def _show(statement: Statement, where: Target, limit: int | None) -> None:
    from backend_demo.cli import query_rows
    from backend_demo.cli.output import say
    from backend_demo.cli.query_show import TABLE_ROWS

    names = [column.name for column in statement.columns]
    rows = _First(statement, (TABLE_ROWS if limit is None and where.form == "table" else limit) or None)
    if where.form == "table":
        count = _print_table(statement.columns, [row for block in rows for row in block])
    else:
        with where.open() as out:
            if where.form == "csv":
                count = query_rows.write_csv(rows, names, out)
            elif where.form == "ndjson":
                count = query_rows.write_ndjson(rows, names, out)
            elif where.form == "parquet":
                count = query_rows.write_parquet(rows, _schema(statement.columns), out)
            else:
                columns = [{"name": column.name, "type": column.type} for column in statement.columns]
                head = {"schema": SCHEMA, "columns": columns}
                count = query_rows.write_json(rows, names, out, head=head, truncated=lambda: rows.more)
        where.tell(count)
    if rows.more:
        say(f"the first {count:,}, and there are more; all with --limit 0")


_NUMBERS = ("int2", "int4", "int8", "float4", "float8", "numeric", "oid")
#: Characters of a column below which a table is of no use.
_NARROW = 8


def _print_table(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> int:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from backend_demo.cli.output import say
    from backend_demo.cli.query_values import as_text, printable

    def cell(value: Any) -> Text:
        return Text("null", style="dim") if value is None else Text(printable(as_text(value)))

    console = Console(highlight=False)
    if len(columns) * (_NARROW + 2) > console.width:  # a row below the other, its values below each other
        table = Table(box=box.SIMPLE, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for row in rows:
            for column, value in zip(columns, row, strict=True):
                table.add_row(Text(column.name), cell(value))
            table.add_section()
    else:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for column in columns:
            justify: Literal["left", "right"] = "right" if column.type in _NUMBERS else "left"
            table.add_column(Text(column.name), justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*map(cell, row))
    console.print(table)
    if not rows:
        say("no rows")
    return len(rows)


def _schema(columns: Sequence[Column]) -> pa.Schema:
    """Of a Parquet file: what Arrow has a type for keeps it, `numeric` becomes a double, the rest text."""
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
