"""The options of `bdemo dlq`."""

from pathlib import Path

import pytest

from backend_demo.cli.dlq.replay import parse_edit
from backend_demo.cli.dlq.selection import FilterOptions, StateFilter, check_chosen
from backend_demo.domain.replay import Edit
from backend_demo.errors import BdemoError, ConfigurationInvalid, UnknownName, UsageError
from backend_demo.operations.dead_letters.refused import letter_id

MAPPING = '[[mapping]]\ntopic = "a/{sensor}"\nvalue = "t"\ntime = "arrival"\n'


def test_changes_are_read_as_a_device_may_write_them() -> None:
    changes = ["sensor=hall", "value=+21.50", "timestamp=2023-11-14T22:13:20.25Z"]
    assert parse_edit(changes, None) == Edit("hall", 1_700_000_000.25, 21.5)
    assert parse_edit([], None) == Edit()
    assert not parse_edit([], None).changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["value"], "invalid change 'value'"),
        (["colour=red"], "invalid change 'colour=red'"),
        (["value=1", "value=2"], "value is given twice"),
        (["value=nan"], "invalid value 'nan'"),
        (["value="], "invalid value ''"),
        (["timestamp=yesterday"], "invalid timestamp 'yesterday'"),
        (["sensor=a/b"], "invalid sensor 'a/b'"),
    ],
)
def test_an_invalid_change_is_named(changes: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_edit(changes, None)


def test_a_file_of_mappings_is_written_as_in_bdemo_toml(tmp_path: Path) -> None:
    file = tmp_path / "map.toml"
    file.write_text(MAPPING)
    mappings = parse_edit([], file).mappings
    assert mappings is not None
    assert mappings.of(b"a/7") is not None
    assert mappings.of(b"b/7") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read .*: No such file"),
        ("value = ", "is not TOML"),
        ("", "mapping: Field required"),
        ('[[mapping]]\ntopic = "a/{sensor}"\n', "value is missing"),
        (MAPPING + "script = 'rm'\n", "script: Extra inputs"),
    ],
)
def test_an_invalid_file_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "map.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationInvalid, match=message):
        parse_edit([], file)


def test_filters_say_which() -> None:
    wanted = FilterOptions(["range"], ["processing"], [7], "1970-01-01T00:00:10Z", "20").wanted([StateFilter.open])
    assert (wanted.since, wanted.until, wanted.states) == (10.0, 20.0, ("open",))
    assert FilterOptions().wanted([StateFilter.open, StateFilter.all]).states == ()
    with pytest.raises(UnknownName) as problem:
        FilterOptions(["rnage"]).wanted()
    assert problem.value.hint == "did you mean range?"
    with pytest.raises(UsageError, match="the range ends before it starts"):
        FilterOptions(since="20", to="10").wanted()


def test_dead_letters_are_chosen_in_one_way() -> None:
    check_chosen(["3:17"], FilterOptions(), False)
    check_chosen([], FilterOptions(stage=["loader"]), False)
    check_chosen(None, FilterOptions(), True)
    for ids, filters, everything in [
        ([], FilterOptions(), False),
        (["3:17"], FilterOptions(), True),
        (["3:17"], FilterOptions(reason=["range"]), False),
    ]:
        with pytest.raises(UsageError):
            check_chosen(ids, filters, everything)


@pytest.mark.parametrize("text", ["", "3", "3:", ":17", "x:1", "3:1:7", "-1:3", "3:99999999999999999999", "３:1"])
def test_an_invalid_id_is_named(text: str) -> None:
    with pytest.raises(BdemoError, match="invalid id"):
        letter_id(text)
