"""The ledger file: whole lines, whenever a kill comes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.reading import Reading, normalized
from backend_demo.domain.verdict import Entry
from backend_demo.errors import BdemoError, UsageError
from backend_demo.simulator.ledger import Ledger, read

readings = st.builds(
    Reading,
    sensor=st.integers(0, 2**63 - 1),
    timestamp=st.floats(0, 2**34).map(normalized),
    value=st.floats(-1e6, 1e6, allow_nan=False),
)


def lines(path: Path) -> list[Entry]:
    return list(read(path))


@given(st.lists(st.tuples(st.sampled_from(["sent", "acked", "failed"]), st.lists(readings, max_size=4)), max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, changes: list) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    with Ledger(path) as ledger:
        for state, of in changes:
            ledger.write(state, of)
    assert lines(path) == [Entry(r.sensor, r.timestamp, r.value, state) for state, of in changes for r in of]


def test_each_write_is_there_at_once_and_a_later_run_adds_to_it(tmp_path: Path) -> None:
    path = tmp_path / "with a space\nand a line end"
    for run in (1, 2):
        with Ledger(path) as ledger:
            ledger.write("sent", [Reading(1, 5.5, 21.0)])
            assert len(lines(path)) == run
    assert path.read_text().splitlines()[0] == '{"sensor": 1, "timestamp": 5.5, "value": 21.0, "state": "sent"}'


@pytest.mark.parametrize("kept", range(1, 62))
def test_a_line_that_a_kill_has_cut_is_left_out_and_removed_by_the_next_run(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.write("sent", [Reading(1, 5.5, 21.0)] * 2)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 + kept])
    assert len(lines(path)) == 1
    with Ledger(path) as ledger:
        ledger.write("acked", [Reading(1, 5.5, 21.0)])
    assert [entry.state for entry in lines(path)] == ["sent", "acked"]


def test_another_file_is_not_harmed(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader,\nthis is no ledger")
    with pytest.raises(UsageError, match="is not a ledger"):
        Ledger(path)
    assert path.read_text() == "Dear reader,\nthis is no ledger"


@pytest.mark.parametrize("path", [Path("/nowhere/ledger"), Path("/")])
def test_what_cannot_be_opened_is_a_usage_error(path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write the ledger"):
        Ledger(path)
    with pytest.raises(UsageError, match="cannot read the ledger"):
        lines(path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_told() -> None:
    with pytest.raises(BdemoError, match="No space left"), Ledger(Path("/dev/full")) as ledger:
        ledger.write("sent", [Reading(1, 5.5, 21.0)])


@pytest.mark.parametrize("line", ["hello", "[]", '{"sensor": 1}', '{"sensor":1,"timestamp":1,"value":1,"state":"x"}'])
def test_a_strange_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"sensor": 1, "timestamp": 5.5, "value": 21.0, "state": "sent"}\n' + line + "\n")
    with pytest.raises(UsageError, match="line 2 is not a line"):
        lines(path)
