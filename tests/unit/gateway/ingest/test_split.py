"""However a body is cut into pieces, its items are the same, and what is no item is reported once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.reading import Rejected
from backend_demo.gateway.ingest.split import Item, JsonItems, LineItems, Splitter

MAX = 200

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(['"', "\\", "}", "],", '\\"']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def items(splitter: Splitter, body: bytes, cuts: Sequence[int] = ()) -> list[Item]:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[begin:end] for begin, end in itertools.pairwise(edges)]
    return [item for piece in pieces for item in splitter.feed(piece)] + list(splitter.end())


def reasons(found: Sequence[Item]) -> list[str]:
    return [item.reason if isinstance(item, Rejected) else item.decode() for item in found]


CUTS = st.lists(st.integers(0, 400), max_size=20)


@given(st.lists(VALUES, max_size=8), CUTS, st.sampled_from([None, 1]), st.booleans())
def test_the_elements_of_an_array(values: list[object], cuts: list[int], indent: int | None, bom: bool) -> None:
    body = b"\xef\xbb\xbf" * bom + json.dumps(values, indent=indent).encode() + b"\n"
    found = items(JsonItems(10_000), body, cuts)
    assert [json.loads(item) for item in found if isinstance(item, bytes)] == values
    assert len(found) == len(values)


@given(st.text('[]{},":\\ \na\xe9', max_size=60).map(str.encode), CUTS)
def test_any_bytes_give_the_same_items_however_they_are_cut(body: bytes, cuts: list[int]) -> None:
    for make in (JsonItems, LineItems):
        whole = items(make(16), b"[" + body)
        assert reasons_only(items(make(16), b"[" + body, cuts)) == reasons_only(whole)


def reasons_only(found: Sequence[Item]) -> list[object]:
    return [(item.reason, item.detail) if isinstance(item, Rejected) else item for item in found]


def test_a_single_object_is_one_item() -> None:
    assert items(JsonItems(MAX), b' {"a": [1, {"b": "}"}]}\n', [1, 3, 9]) == [b'{"a": [1, {"b": "}"}]}']


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", []),
        (b" \n", []),
        (b"[]", []),
        (b"[ \n ] ", []),
        (b'[{"a":1},]', ['{"a":1}', "json"]),
        (b'[{"a":1},,{"b":2}]', ['{"a":1}', "json", '{"b":2}']),
        (b"[1, null]", ["1", "null"]),
        (b'[{"a":1},{"b"', ['{"a":1}', "json"]),
        (b'[{"a":1}', ["json"]),
        (b'[{"a":1}] [', ['{"a":1}', "json"]),
        (b'[{"a":1}}, {"b":2}]', ['{"a":1}', "json"]),
        (b"7", ["json"]),
        (b"sensor,timestamp,value\n", ["json"]),
        (b"\xef\xbb", ["json"]),
    ],
)
def test_an_array_that_is_broken_has_one_item_for_that(body: bytes, expected: list[str]) -> None:
    for cuts in ([], range(len(body))):
        assert reasons(items(JsonItems(MAX), body, cuts)) == expected


@pytest.mark.parametrize("long", [b'{"a": "' + b"x" * 300 + b'\\"},["}', b'{"a": [' + b"1," * 150 + b"2]}"])
def test_an_element_that_is_too_long_is_refused_and_the_next_is_found(long: bytes) -> None:
    for cuts in ([], range(700)):
        body = b'[{"a":1}, ' + long + b', {"b":2}]'
        assert reasons(items(JsonItems(MAX), body, cuts)) == ['{"a":1}', "size", '{"b":2}']
    assert reasons(items(JsonItems(MAX), long)) == ["size"]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\ufeff"), max_size=10), max_size=8), CUTS)
def test_lines(lines: list[str], cuts: list[int]) -> None:
    for end in ("\n", "\r\n"):
        for last in ("", end):
            body = (end.join(lines) + last).encode()
            stripped = [line.strip(" \t").encode() for line in lines]
            assert items(LineItems(MAX), body, cuts) == [line for line in stripped if line]


def test_a_line_that_is_too_long_is_refused_and_the_next_is_found() -> None:
    for cuts in ([], range(900)):
        body = b"first\n" + b"x" * 500 + b"\nnext\n" + b"y" * 201
        assert reasons(items(LineItems(MAX), body, cuts)) == ["first", "size", "next", "size"]


@pytest.mark.parametrize("make", [JsonItems, LineItems])
def test_what_is_too_long_is_not_held(make: Callable[[int], Splitter]) -> None:
    splitter = make(MAX)
    held = 0
    for piece in (b'[{"a": "', *[b"x" * 1000] * 50):
        assert len(list(splitter.feed(piece))) <= 1
        held = max(held, sum(len(value) for value in vars(splitter).values() if isinstance(value, bytes)))
    assert held <= MAX + 1000
