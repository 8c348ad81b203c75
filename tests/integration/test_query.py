"""`bdemo query` on the running stack: ranges in every form, and SQL as a role that only reads."""

import asyncio
import csv
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pyarrow import parquet

from backend_demo.stack.state.directory import StateDirectory
from tests.support.gateway import serving
from tests.support.shell import Shell
from tests.support.wait import eventually

FIRST, BIG = 9001, 9002
#: No other test has readings of this time.
START = 1_690_000_040.0
ROWS, BIG_ROWS = 100, 200_000


@pytest.fixture(scope="module", autouse=True)
def _rows(running: Any) -> Iterator[None]:
    """A hundred rows of one sensor and very many of another; none stays, as their averages are no averages."""

    async def each_table(statement: str) -> None:
        connection = await asyncpg.connect(running[0].postgres_dsn)
        try:
            for table in ("temperature", "average"):
                await connection.execute(statement.format(table=table))
        finally:
            await connection.close()

    insert = " union all ".join(
        f"select {sensor}, {START} + i, 20 + i % 10 from generate_series(0, {rows - 1}) i"
        for sensor, rows in ((FIRST, ROWS), (BIG, BIG_ROWS))
    )
    asyncio.run(each_table(f"insert into {{table}} (sensor_num, timestamp, value) {insert}"))
    yield
    asyncio.run(each_table(f"delete from {{table}} where sensor_num in ({FIRST}, {BIG})"))


def since(sensor: int) -> tuple[str, ...]:
    return ("--sensor", str(sensor), "--from", str(START))


class TestRange:
    def test_every_form_has_the_same_rows(self, bdemo: Shell, tmp_path: Path) -> None:
        words = ("query", "range", *since(FIRST), "-o")
        lines = list(csv.DictReader(io.StringIO(bdemo(*words, "csv").stdout)))
        rows = [(int(line["sensor"]), float(line["timestamp"]), float(line["value"])) for line in lines]
        assert rows == [(FIRST, START + i, 20.0 + i % 10) for i in reversed(range(ROWS))]
        assert [tuple(json.loads(line).values()) for line in bdemo(*words, "ndjson").stdout.splitlines()] == rows
        document = json.loads(bdemo(*words, "json").stdout)
        assert [(row["sensor"], row["timestamp"], row["value"]) for row in document["rows"]] == rows
        assert document["truncated"] is False
        for name, more in (("all.parquet", ()), ("some.parquet", ("--limit", str(ROWS)))):
            told = bdemo(*words, str(tmp_path / name), *more).stderr
            assert name in told
            table = parquet.read_table(tmp_path / name)
            assert [tuple(row.values()) for row in table.to_pylist()] == rows
        assert sorted(path.name for path in tmp_path.iterdir()) == ["all.parquet", "some.parquet"]

    def test_oldest_first_and_only_some(self, bdemo: Shell) -> None:
        done = bdemo("query", "range", *since(FIRST), "--order", "asc", "--limit", "2", "-o", "csv")
        assert [line.split(",")[1] for line in done.stdout.splitlines()[1:]] == [str(START), str(START + 1)]
        assert done.stderr == "showing the oldest 2; use --limit 0 for all\n"

    def test_the_newest_of_all_sensors_up_to_a_time(self, bdemo: Shell) -> None:
        words = ("--from", str(START), "--to", str(START + 1), "--limit", "3", "-o", "ndjson")
        rows = [json.loads(line) for line in bdemo("query", "average", *words).stdout.splitlines()]
        assert [(row["sensor"], row["timestamp"]) for row in rows] == [
            (FIRST, START + 1),
            (BIG, START + 1),
            (FIRST, START),
        ]

    def test_buckets(self, bdemo: Shell) -> None:
        words = (*since(FIRST), "--to", str(START + 99), "--bucket", "30s", "--agg", "count,min,last", "--tz", "UTC")
        rows = [json.loads(line) for line in bdemo("query", "range", *words, "-o", "ndjson").stdout.splitlines()]
        assert [(row["from"] - START, row["count"], row["min"], row["last"]) for row in rows] == [
            (70.0, 30, 20.0, 29.0),
            (40.0, 30, 20.0, 29.0),
            (10.0, 30, 20.0, 29.0),
            (-20.0, 10, 20.0, 29.0),
        ]
        table = bdemo("query", "range", *words, "--limit", "1").stdout.splitlines()
        assert table[-2].split() == [str(FIRST), "2023-07-22", "04:28:30", "30", "20.00", "29.00"]

    def test_a_chart_of_a_long_range_asks_for_no_more_than_it_shows(self, bdemo: Shell) -> None:
        shown = bdemo("query", "range", *since(BIG), "--chart").stdout.splitlines()
        assert shown[0].startswith(f"Readings of sensor {BIG} since ")
        assert len(shown) > 10
        bands = bdemo("query", "range", *since(BIG), "--bucket", "1h", "--chart").stdout
        assert "·" in bands

    def test_few_points_of_many(self, bdemo: Shell) -> None:
        done = bdemo("query", "range", *since(BIG), "--max-points", "10", "-o", "csv")
        times = [float(line.split(",")[1]) for line in done.stdout.splitlines()[1:]]
        assert len(times) == 10
        assert (times[0], times[-1]) == (START + BIG_ROWS - 1, START)

    def test_memory_does_not_grow_with_the_answer(self, bdemo: Shell, settings: Any, tmp_path: Path) -> None:
        program = (
            "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], check=True);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )

        def peak_mb(*words: str) -> float:
            command = [sys.executable, "-m", "backend_demo", "query", "range", *words]
            where = ["--state-dir", str(settings.state_dir), "-o", str(tmp_path / "x.ndjson")]
            found = subprocess.run([sys.executable, "-c", program, *command, *where], capture_output=True, check=True)
            return int(found.stdout) / 1024

        small, large = peak_mb(*since(FIRST)), peak_mb(*since(BIG))
        assert (tmp_path / "x.ndjson").stat().st_size > 10_000_000
        assert large < small + 8

    def test_an_answer_that_breaks_off_leaves_no_file(self, state: StateDirectory, tmp_path: Path) -> None:
        """The gateway dies in the middle; what was read is an error, not a short file."""
        with serving(state.postgres_dsn("bdemo_reader")) as gateway:
            words = ["query", "range", *since(BIG), "--url", gateway.url, "-o"]
            pipe = subprocess.Popen(
                [sys.executable, "-m", "backend_demo", *words, "ndjson"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            assert pipe.stdout is not None
            assert pipe.stdout.read(1000)
            gateway.process.kill()
            gateway.process.wait(10)
            _, told = pipe.communicate(timeout=30)
            assert pipe.returncode == 5
            assert b"broke off in the middle of its answer" in told
            done = subprocess.run(
                [sys.executable, "-m", "backend_demo", *words, str(tmp_path / "out.csv")],
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert (done.returncode, list(tmp_path.iterdir())) == (5, [])

    @pytest.mark.parametrize(
        "words", [("-o", "csv"), ("-o", "json"), ("-o", "parquet"), ("--limit", "5000")], ids="".join
    )
    def test_a_reader_that_has_enough(self, settings: Any, words: tuple[str, ...]) -> None:
        command = [sys.executable, "-m", "backend_demo", "query", "range", *since(BIG), *words]
        command += ["--state-dir", str(settings.state_dir)]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.read(10)
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(30) == 0

    @pytest.mark.parametrize(
        ("words", "code", "message"),
        [
            (("range", "--bucket", "7x"), 2, "--bucket '7x' is not a bucket length"),
            (("range", "--bucket", "1m", "--tz", "Mars/Base"), 2, "unknown time zone in --tz"),
            (("range", "--bucket", "1m", "--agg", "median"), 2, "unknown aggregate in --agg: 'median'"),
            (("range", "-o", "xml"), 2, "unknown output format in --output: 'xml'"),
            (("range", "-o", "/proc/out.csv"), 2, "cannot write /proc/out.csv"),
            (("range", "-o", "csv", "--chart"), 2, "--chart cannot be combined with --output csv"),
            (("range", "-o", "x.csv", "--watch"), 2, "--watch never ends, so a file would never be complete"),
            (("range", "--max-points", "3", "--bucket", "1m"), 2, "--bucket cannot be combined with --max-points"),
            (("sensors", "--sensor", "99999"), 9, "unknown sensor '99999'"),
            (("latest", "--token", "a b\n"), 2, "invalid token: it contains characters"),
        ],
    )
    def test_what_cannot_work_is_a_line_and_a_hint(
        self, bdemo: Shell, words: tuple[str, ...], code: int, message: str
    ) -> None:
        told = bdemo("query", *words, code=code).stderr.splitlines()
        assert told[0].startswith(f"error: {message}")
        assert told[1].startswith("hint: ")
        assert len(told) == 2

    def test_sensors(self, bdemo: Shell) -> None:
        document = json.loads(bdemo("query", "sensors", "-s", str(FIRST), "-o", "json").stdout)
        assert document["rows"] == [
            {
                "sensor": FIRST,
                "count": ROWS,
                "first": START,
                "last": START + ROWS - 1,
                "last_value": 29.0,
                "last_average": 29.0,
                "name": None,
            }
        ]
        known = [line.split(",")[0] for line in bdemo("query", "sensors", "-o", "csv").stdout.splitlines()[1:]]
        assert {str(FIRST), str(BIG)} <= set(known)
        assert f" {BIG_ROWS:,} " in bdemo("query", "sensors", "-s", str(BIG)).stdout


#: What a reader must not be able to do, whatever its session says of itself.
FORBIDDEN = [
    "insert into temperature (sensor_num, timestamp, value) values (1, 1, 1)",
    "update average set value = 0",
    "delete from temperature",
    "truncate temperature",
    "drop table temperature",
    "alter table temperature add column x int",
    "create table x (a int)",
    "create temporary table x (a int)",
    "create view x as select 1",
    "create function x() returns int language sql as 'select 1'",
    "create schema x",
    "create extension dblink",
    "create role x",
    "create database x",
    "alter role bdemo_reader superuser",
    "alter role bdemo password 'x'",
    "set role bdemo",
    "set session authorization postgres",
    "select set_config('role', 'postgres', false)",
    "copy temperature from '/etc/passwd'",
    "copy temperature to '/tmp/x'",
    "copy (select 1) to program 'id'",
    "select pg_read_file('/etc/passwd')",
    "select pg_read_binary_file('/etc/passwd')",
    "select pg_ls_dir('.')",
    "select lo_import('/etc/passwd')",
    "select lo_export(1, '/tmp/x')",
    "select * from pg_authid",
    "select pg_terminate_backend(pid) from pg_stat_activity",
    "select pg_cancel_backend(pid) from pg_stat_activity",
    "select pg_reload_conf()",
    "select nextval('temperature_id_seq')",
    "begin; lock table temperature in exclusive mode",
    "alter system set work_mem = '1GB'",
    "checkpoint",
]


class TestSql:
    @pytest.mark.parametrize("statement", FORBIDDEN)
    def test_the_role_itself_may_not(self, state: StateDirectory, statement: str) -> None:
        """Not even in a session that has taken its own bridle off."""

        async def attempt() -> None:
            connection = await asyncpg.connect(state.postgres_dsn("bdemo_reader"))
            try:
                await connection.execute("set default_transaction_read_only = off; set statement_timeout = 0")
                await connection.execute(statement)
            finally:
                await connection.close()

        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedFileError)):
            asyncio.run(attempt())

    def test_the_role_holds_no_other_right(self, sql: Any) -> None:
        rights = ("insert", "update", "delete", "truncate", "references", "trigger", "maintain")
        for table in ("temperature", "average", "fence", "alembic_version"):
            for right in rights:
                held = sql("select has_table_privilege('bdemo_reader', $1, $2)", table, right)[0][0]
                assert not held, (table, right)
        assert not sql("select has_database_privilege('bdemo_reader', 'temperature', 'create, temporary')")[0][0]
        assert not sql("select has_schema_privilege('bdemo_reader', 'public', 'create')")[0][0]
        member_of = "select count(*) from pg_auth_members where member = 'bdemo_reader'::regrole"
        assert sql(member_of)[0][0] == 0, "it may become no other role"

    def test_a_session_of_the_role_only_reads_and_not_for_ever(self, state: StateDirectory) -> None:
        async def settings_of_a_session() -> list[str]:
            connection = await asyncpg.connect(state.postgres_dsn("bdemo_reader"))
            try:
                return [
                    await connection.fetchval(f"show {name}")
                    for name in ("default_transaction_read_only", "statement_timeout", "is_superuser")
                ]
            finally:
                await connection.close()

        assert asyncio.run(settings_of_a_session()) == ["on", "10s", "off"]

    @pytest.mark.parametrize(
        "statement",
        [
            "delete from temperature returning *",
            "with gone as (delete from temperature returning *) select * from gone",
            "create table x as select 1",
            "copy (select 1) to program 'id'",
            "copy temperature to stdout",
            "set role bdemo",
            "reset statement_timeout",
            "begin read write",
            "commit",
            "select 1; delete from temperature",
            "do $$ begin commit; delete from temperature; end $$",
            "select set_config('transaction_read_only', 'off', true)",
            "select lo_create(0)",
            "select query_to_xml('delete from temperature', true, true, '')",
            "select dblink('', '')",
            "select * from temperature for update",
        ],
    )
    def test_writing_is_refused(self, bdemo: Shell, sql: Any, statement: str) -> None:
        before = sql("select count(*), sum(value) from temperature where sensor_num = $1", FIRST)
        told = bdemo("query", "sql", statement, code=2).stderr.splitlines()
        assert told[0].startswith("error: ")
        assert told[1].startswith("hint: ")
        assert len(told) == 2
        assert sql("select count(*), sum(value) from temperature where sensor_num = $1", FIRST) == before

    @pytest.mark.parametrize(
        ("statement", "message", "hint"),
        [
            ("select valu from temperature", 'column "valu" does not exist, at column 8', "temperature.value"),
            ("select\n  nope()", "function nope() does not exist, at line 2, column 3", ""),
            ("select * from nowhere", 'relation "nowhere" does not exist, at column 15', "the tables: temperature"),
            ("selec 1", 'syntax error at or near "selec", at column 1', "see: bdemo query sql --help"),
            ("select 1 / 0", "division by zero", "see: bdemo query sql --help"),
            ("select timestamp '0044-03-15 BC'", "a value cannot be shown", "::text"),
            (" ", "the statement is empty", "select"),
            ("", "the statement is empty", "select"),
            ("/* */", "the statement returns no rows", "a statement that reads"),
        ],
    )
    def test_a_wrong_statement(self, bdemo: Shell, statement: str, message: str, hint: str) -> None:
        told = bdemo("query", "sql", statement, code=2).stderr.splitlines()
        assert told[0].startswith(f"error: {message}")
        assert hint in told[1]
        assert len(told) == 2

    def test_every_form(self, bdemo: Shell, tmp_path: Path) -> None:
        statement = (
            "select i::int4 as n, i * 1.5 as exact, null as nothing, to_timestamp(i) as at, array[i, i + 1] as both, "
            r"'\x00ff'::bytea as raw, jsonb_build_object('a', i) as document, interval '1 month' as long "
            "from generate_series(1, 3) i"
        )
        document = json.loads(bdemo("query", "sql", statement, "-o", "json").stdout)
        assert document["schema"] == "bdemo.sql/1"
        assert document["columns"][1] == {"name": "exact", "type": "numeric"}
        assert document["rows"][0] == {
            "n": 1,
            "exact": 1.5,
            "nothing": None,
            "at": "1970-01-01T00:00:01Z",
            "both": [1, 2],
            "raw": "\\x00ff",
            "document": {"a": 1},
            "long": "1 mon",
        }
        lines = bdemo("query", "sql", statement, "-o", "ndjson").stdout.splitlines()
        assert [json.loads(line) for line in lines] == document["rows"]
        first = next(csv.DictReader(io.StringIO(bdemo("query", "sql", statement, "-o", "csv").stdout)))
        assert (first["nothing"], first["both"], first["raw"]) == ("", "[1,2]", "\\x00ff")
        bdemo("query", "sql", statement, "-o", str(tmp_path / "out.parquet"))
        row = parquet.read_table(tmp_path / "out.parquet").to_pylist()[0]
        assert (row["n"], row["exact"], row["both"], row["raw"], row["long"]) == (1, 1.5, [1, 2], b"\x00\xff", "1 mon")
        assert row["at"].timestamp() == 1
        assert "null" in bdemo("query", "sql", statement).stdout

    def test_a_table_is_cut_and_says_so(self, bdemo: Shell) -> None:
        done = bdemo("query", "sql", "select i from generate_series(1, 100) i")
        assert done.stdout.split()[-1] == "20"
        assert done.stderr == "showing the first 20; use --limit 0 for all\n"
        whole = bdemo("query", "sql", "select i from generate_series(1, 20) i")
        assert (whole.stdout.split()[-1], whole.stderr) == ("20", "")
        assert bdemo("query", "sql", "select i from generate_series(1, 5000) i", "-o", "csv").stdout.count("\n") == 5001
        assert bdemo("query", "sql", "select 1 where false").stderr == "no rows\n"

    def test_from_a_file_and_from_stdin(self, bdemo: Shell, settings: Any, tmp_path: Path) -> None:
        file = tmp_path / "report.sql"
        file.write_text("-- how many\nselect count(*) as n from temperature where sensor_num = 9001;\n")
        assert bdemo("query", "sql", "--file", str(file), "-o", "csv").stdout == f"n\n{ROWS}\n"
        command = [sys.executable, "-m", "backend_demo", "query", "sql", "-", "-o", "csv"]
        command += ["--state-dir", str(settings.state_dir)]
        done = subprocess.run(command, input=file.read_bytes(), capture_output=True, check=True)
        assert done.stdout == f"n\r\n{ROWS}\r\n".encode()
        assert "give a statement" in bdemo("query", "sql", "select 1", "--file", str(file), code=2).stderr
        assert "cannot read" in bdemo("query", "sql", "--file", str(tmp_path), code=2).stderr

    def test_it_takes_too_long(self, bdemo: Shell) -> None:
        told = bdemo("query", "sql", "select pg_sleep(60)", "--timeout", "300ms", code=17).stderr
        assert told.startswith("error: the statement took longer than 0.3 s\nhint: ")

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
    def test_who_leaves_ends_the_statement_in_the_database(
        self, settings: Any, state: StateDirectory, number: signal.Signals, code: int
    ) -> None:
        mark = f"leaves with {number.name}"
        command = [sys.executable, "-m", "backend_demo", "query", "sql", f"select pg_sleep(100) /* {mark} */"]
        command += ["--timeout", "2m", "--state-dir", str(settings.state_dir)]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        async def running_statements() -> int:
            connection = await asyncpg.connect(state.postgres_dsn("bdemo_reader"))
            try:
                query = "select count(*) from pg_stat_activity where query like $1 and pid != pg_backend_pid()"
                return int(await connection.fetchval(query, f"%{mark}%"))
            finally:
                await connection.close()

        def asked() -> int:
            return asyncio.run(running_statements())

        eventually(lambda: asked() == 1, "the statement runs")
        running.send_signal(number)
        running.communicate(timeout=20)
        assert running.returncode == code
        eventually(lambda: asked() == 0, "the statement has ended")

    def test_another_database(self, bdemo: Shell, state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BDEMO_POSTGRES_READER_DSN", "postgresql://nobody:x@127.0.0.1:1/x")
        assert "PostgreSQL does not answer" in bdemo("query", "sql", "select 1", code=5).stderr
        dsn = state.postgres_dsn("bdemo_reader")
        monkeypatch.setenv("BDEMO_POSTGRES_READER_DSN", dsn.replace("bdemo_reader:", "bdemo_reader:wrong"))
        assert "password authentication failed" in bdemo("query", "sql", "select 1", code=3).stderr
        admin = f"postgresql://postgres:{state.secrets.of('postgres')}@{dsn.split('@')[1]}"
        monkeypatch.setenv("BDEMO_POSTGRES_READER_DSN", admin)
        assert "names a superuser" in bdemo("query", "sql", "select 1", code=3).stderr
        monkeypatch.setenv("BDEMO_POSTGRES_READER_DSN", dsn)
        assert bdemo("query", "sql", "select 1 as one", "-o", "csv").stdout == "one\n1\n"
