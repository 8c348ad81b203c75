"""Scenarios: those that come with bdemo are right, and a file that is not says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend_demo.domain.fault import ServiceFault
from backend_demo.errors import ConfigurationInvalid, UnknownName
from backend_demo.operations.chaos import scenario
from backend_demo.stack.services.table import SERVICES


@pytest.mark.parametrize("name", scenario.names())
def test_a_scenario_of_ours(name: str) -> None:
    found = scenario.load(name)
    assert found.name == name
    assert found.about
    assert len(found.about) < 50  # on a terminal of 80 columns
    assert {fault.service for fault in found.faults} <= set(SERVICES)


def test_there_are_scenarios() -> None:
    assert scenario.names() == ["freeze", "servers", "stages"]


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        """
        about = "two faults"
        [[fault]]
        at = 5
        kind = "kill"
        service = "loader"
        [[fault]]
        at = 7.5
        kind = "pause"
        service = "processing-2"
        for = 2
        """
    )
    found = scenario.load(str(file))
    assert (found.name, found.about, found.duration_s) == ("mine", "two faults", 9.5 + scenario.CALM_S)
    assert found.faults == (ServiceFault(5, "kill", "loader"), ServiceFault(7.5, "pause", "processing-2", 2))


FAULT = '[[fault]]\nat = 5\nkind = "kill"\nservice = "loader"\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing required field `fault`"),
        ("fault = []", "there is no fault"),
        ("[[fault", "Expected"),
        (FAULT.replace("kill", "burn"), "burn"),
        (FAULT.replace("5", '"5s"'), "Expected `float`"),
        (FAULT.replace("5", "-1"), "fault 1"),
        (FAULT.replace("5", "nan"), "fault 1"),
        (FAULT + "for = 1e9\n", "fault 1"),
        (FAULT + "fro = 1\n", "fro"),
        (FAULT.replace("kill", "pause"), "a pause needs `for`"),
        (FAULT + FAULT, "loader would suffer the faults at 5 s and 5 s together"),
        ("duration = 4\n" + FAULT, "`duration` must be from 5"),
        ("duration = nan\n" + FAULT, "`duration` must be from 5"),
    ],
)
def test_a_file_that_is_not_right(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationInvalid, match=reason) as raised:
        scenario.load(str(file))
    assert str(file) in raised.value.message
    assert raised.value.hint


def test_other_things_than_a_file(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="sevrers") as raised:
        scenario.load("sevrers")
    assert "servers" in raised.value.hint
    with pytest.raises(ConfigurationInvalid, match="No such file"):
        scenario.load(str(tmp_path / "none.toml"))
    with pytest.raises(ConfigurationInvalid, match="directory"):
        scenario.load(f"{tmp_path}/")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationInvalid, match="utf-8"):
        scenario.load(str(tmp_path / "bytes.toml"))
