"""Topic filters: validity, matching, cover and index, against paho and against every topic of a small alphabet."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from backend_demo.mqtt.filters import FilterIndex, covers, filter_problem, matches, topic_problem, without_covered

LEVELS = ["a", "b", "", "$x"]
#: Every topic of up to 4 levels, with one level, `other`, that no filter names.
TOPICS = ["/".join(levels) for size in range(1, 5) for levels in product([*LEVELS, "other"], repeat=size)]
TOPICS.remove("")

#: Valid filters of up to 3 levels.
filters = (
    st.lists(st.sampled_from([*LEVELS, "+", "#"]), min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda each: not filter_problem(each))
)


@pytest.mark.parametrize(
    "given", ["#", "/#", "sensors/#", "sensors/+/temperature", "+", "+/+/#", "/", "a//b", "$SYS/#", "ü"]
)
def test_a_topic_filter_is_accepted(given: str) -> None:
    assert filter_problem(given) == ""


@pytest.mark.parametrize("given", ["", "sensors/#/x", "a#", "#/", "sensors+", "+a/b", "a\0b", "x" * 65_536, "\udcff"])
def test_the_problem_of_an_invalid_topic_filter_is_named(given: str) -> None:
    assert filter_problem(given)


@pytest.mark.parametrize("given", ["a", "/", "a b", "$SYS/x", "sensors/7/temperature", "ü", "x" * 65_535])
def test_a_topic_is_accepted(given: str) -> None:
    assert topic_problem(given.encode()) == ""


@pytest.mark.parametrize(
    "given", [b"", b"a/+", b"a/#", b"a\0", "ü\0".encode(), b"\xff", b"\xed\xa0\x80", b"x" * 65_536]
)
def test_the_problem_of_an_invalid_topic_is_named(given: bytes) -> None:
    assert topic_problem(given)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/a", False),
        ("+/a", "$SYS/a", False),
        ("$SYS/#", "$SYS/a", True),
        ("a/#", "a/$b", True),
        ("A", "a", False),
    ],
)
def test_the_examples_of_the_standard(topic_filter: str, topic: str, expected: bool) -> None:
    assert matches(topic_filter, topic) is expected


@given(filters)
def test_paho_matches_the_same_topics(topic_filter: str) -> None:
    for topic in TOPICS:
        assert matches(topic_filter, topic) == topic_matches_sub(topic_filter, topic), topic


@given(filters, filters)
@example("+/#", "#")
@example("#", "$x/#")
@example("a/+/#", "a/#")
def test_a_filter_covers_another_when_no_topic_is_left_out(wide: str, narrow: str) -> None:
    left_out = [topic for topic in TOPICS if matches(narrow, topic) and not matches(wide, topic)]
    assert covers(wide, narrow) == (not left_out)


@given(st.lists(filters, max_size=6))
@example(["sensors/#", "/#", "/data/from/+", "zigbee2mqtt/+", "/#"])
def test_filters_that_none_covers_match_the_same_topics(given_filters: list[str]) -> None:
    left = without_covered(given_filters)
    assert not any(covers(one, other) for i, one in enumerate(left) for j, other in enumerate(left) if i != j)
    for topic in TOPICS[::7]:
        assert any(matches(each, topic) for each in left) == any(matches(each, topic) for each in given_filters)


@given(st.lists(st.tuples(filters, st.integers(0, 3)), max_size=12), st.lists(st.tuples(filters, st.integers(0, 3))))
def test_the_index_finds_what_matching_each_filter_finds(
    added: list[tuple[str, int]], removed: list[tuple[str, int]]
) -> None:
    index = FilterIndex[int]()
    removed += added[::3]
    for each in added:
        index.add(*each)
    for each in removed:
        index.remove(*each)
    left = set(added) - set(removed)
    for topic in TOPICS[::7]:
        expected = sorted(value for topic_filter, value in left if matches(topic_filter, topic))
        assert sorted(index.find(topic)) == expected


@given(st.lists(filters, max_size=12))
def test_an_index_from_which_all_is_removed_keeps_nothing(added: list[str]) -> None:
    index = FilterIndex[str]()
    for each in added:
        index.add(each, each)
    for each in added:
        index.remove(each, each)
    assert index._root.children == {}
