"""Our parser against prometheus-client's own, over what prometheus-client writes."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from backend_demo.operations.observe.exposition import parse

NASTY = st.text(st.sampled_from('ab\\"\n{}=, #é\u2028\r\x85'), max_size=8)
VALUES = st.floats(allow_nan=False) | st.integers(-5, 5)


def oracle(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.tuples(NASTY, NASTY), VALUES, max_size=5),
    st.lists(st.floats(0, 10), max_size=5),
    st.integers(0, 10**12),
)
def test_it_reads_what_prometheus_clients_parser_reads(
    series: dict[tuple[str, str], float], observed: list[float], count: int
) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("state", "What { it } is,\nin two lines.", ["b", "a"], registry=registry)
    for labels, value in series.items():
        gauge.labels(*labels).set(value)
    histogram = Histogram("wait_seconds", "A wait.", registry=registry, buckets=(0.5, 1, 5))
    for each in observed:
        histogram.observe(each)
    Counter("done", "Work.", registry=registry).inc(count)
    text = generate_latest(registry).decode()
    expected = oracle(text)
    assert parse(text, set(expected)) == expected


def test_only_what_is_asked_for_is_kept() -> None:
    text = '# HELP a b\n# TYPE a gauge\na 1\nab{a="a 7"} 2\na_total 3\n'
    assert parse(text, {"a", "a_total", "c"}) == {"a": {(): 1.0}, "a_total": {(): 3.0}}


def test_times_and_special_numbers() -> None:
    assert parse('a{x="1"} +Inf 1700000000000\nb -1e-3\n', {"a", "b"}) == {
        "a": {(("x", "1"),): math.inf},
        "b": {(): -0.001},
    }
