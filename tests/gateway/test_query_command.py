"""`bdemo query` against a gateway."""

import csv
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateway import BIG, START, GatewayProcess
from tests.support.postgres import PostgresServer


def query(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "backend_demo", "query", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


class TestCommand:
    """`bdemo query`."""

    def test_latest_as_json_has_numbers(self, gateway: GatewayProcess) -> None:
        answer = json.loads(query("latest", "--sensor", "1", "-s", "2", "-o", "json", "--url", gateway.url).stdout)
        assert answer["schema"] == "bdemo.query/1"
        assert [(row["sensor"], row["timestamp"], row["value"]) for row in answer["rows"]] == [
            (1, START + 9, 29.0),
            (2, START, 21.5),
        ]
        assert answer["rows"][1]["time"] == "2023-11-14T22:13:20.000000Z"
        assert answer["truncated"] is False

    def test_latest_of_all_as_a_table_says_that_it_is_cut(self, gateway: GatewayProcess) -> None:
        done = query("latest", "--url", gateway.url)
        assert re.search(r"^ +1 +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.000 .* 29\.00 *$", done.stdout, re.MULTILINE)
        assert re.search(r"the first 20 of 10,\d{3}", done.stderr)

    def test_a_whole_range_of_two_sensors_comes_sensor_by_sensor(self, gateway: GatewayProcess) -> None:
        words = ("range", "-s", "1", "-s", "2", "--from", "1700000000", "--to", "1700000001", "-o", "json")
        answer = json.loads(query(*words, "--url", gateway.url).stdout)
        assert [(row["sensor"], row["value"]) for row in answer["rows"]] == [(2, 21.5), (1, 21.0), (1, 20.0)]
        assert (answer["from"], answer["to"]) == (1_700_000_000.0, 1_700_000_001.0)

    def test_a_big_range_as_csv_is_all_there(self, gateway: GatewayProcess) -> None:
        done = query("range", "-s", "50", "--from", "0", "-o", "csv", "--url", gateway.url)
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        assert len(rows) == BIG
        assert float(rows[0]["timestamp"]) == START + (BIG - 1) * 0.01
        assert done.stderr == ""

    def test_averages(self, gateway: GatewayProcess) -> None:
        done = query("average", "-s", "1", "--from", "0", "--limit", "3", "-o", "json", "--url", gateway.url)
        answer = json.loads(done.stdout)
        assert [row["value"] for row in answer["rows"]] == [29.25, 28.25, 27.25]
        assert answer["truncated"] is True
        assert "showing the newest 3; use --limit 0 for all" in done.stderr

    def test_a_chart_is_drawn(self, gateway: GatewayProcess) -> None:
        lines = query("range", "-s", "1", "--from", "0", "--chart", "--url", gateway.url).stdout.splitlines()
        assert lines[0].startswith("Readings of sensor 1")
        assert lines[1].lstrip().startswith("┌")
        assert all(len(line) <= 80 for line in lines)

    def test_watching_without_a_terminal_gives_a_line_for_each_new_reading(
        self, database: PostgresServer, gateway: GatewayProcess
    ) -> None:
        insert = "insert into temperature (sensor_num, timestamp, value) values (4, $1, $2)"
        database.sql(insert, START, 1.0)
        words = ["query", "latest", "-s", "4", "--watch", "--every", "200ms", "-o", "csv", "--url", gateway.url]
        watching = subprocess.Popen(
            [sys.executable, "-m", "backend_demo", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("sensor,")
        assert watching.stdout.readline().endswith(",1.0\n")
        database.sql(insert, START + 1, 2.0)
        assert watching.stdout.readline().endswith(",2.0\n")
        watching.send_signal(signal.SIGINT)
        rest, told = watching.communicate(timeout=10)
        assert (rest, told.strip(), watching.returncode) == ("", "", 130)

    def test_an_unknown_sensor(self, gateway: GatewayProcess) -> None:
        told = query("latest", "--sensor", "9999", "--url", gateway.url, code=9).stderr
        assert told.splitlines()[0] == "error: unknown sensor '9999'"
        assert "10000, 10001" in told.splitlines()[1]

    def test_nothing_in_the_range_is_said(self, gateway: GatewayProcess) -> None:
        done = query("range", "-s", "1", "--url", gateway.url)
        assert done.stdout == ""
        assert "no readings of sensor 1" in done.stderr

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (("latest", "--url", "http://127.0.0.1:1"), 5),
            (("latest", "--url", "nonsense"), 2),
            (("latest", "--sensor", "-1"), 2),
            (("range", "--agg", "mean"), 2),
            (("range", "-s", "1", "--since", "5x"), 2),
            (("range", "-s", "1", "--since", "5m", "--from", "0"), 2),
            (("range", "-s", "1", "--from", "1700000001", "--to", "1700000000"), 2),
            (("range", "-s", "1", "--chart", "-o", "csv"), 2),
            (("latest", "--watch", "--every", "0"), 2),
        ],
    )
    def test_what_cannot_work_is_an_error_and_a_hint(
        self, gateway: GatewayProcess, words: tuple[str, ...], code: int
    ) -> None:
        where = () if "--url" in words else ("--url", gateway.url)
        done = query(*words, *where, code=code)
        assert done.stdout == ""
        error, hint = done.stderr.strip().splitlines()
        assert error.startswith("error: ")
        assert hint.startswith("hint: ")

    def test_without_a_stack(self, tmp_path: Path) -> None:
        told = query("latest", "--state-dir", str(tmp_path), code=7).stderr
        assert "hint: start it with: bdemo up" in told

    def test_what_is_no_gateway(self, gateway: GatewayProcess) -> None:
        told = query("latest", "--url", f"http://127.0.0.1:{gateway.stats_port}", code=5).stderr
        assert "is not a bdemo gateway" in told
