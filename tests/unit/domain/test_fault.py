"""Faults of one service at the same time are found."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.fault import ServiceFault, first_clash

TARGETS = ("loader", "processing", "processing-2", "processing-3")
FAULTS = st.lists(
    st.builds(
        ServiceFault,
        at_s=st.integers(0, 30).map(float),
        kind=st.just("kill"),
        target=st.sampled_from(TARGETS),
        for_s=st.integers(0, 5).map(float),
    ),
    max_size=6,
)


def test_the_service_of_a_copy() -> None:
    assert {ServiceFault(0, "kill", target).service for target in TARGETS} == {"loader", "processing"}


@given(FAULTS)
def test_a_clash_is_found_if_any_two_overlap(faults: list[ServiceFault]) -> None:
    overlapping = [
        {first, second}
        for first, second in combinations(faults, 2)
        if first.service == second.service and first.at_s <= second.end_s and second.at_s <= first.end_s
    ]
    clash = first_clash(faults)
    assert (clash is not None) == bool(overlapping)
    if clash is not None:
        assert set(clash) in overlapping
