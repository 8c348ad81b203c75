"""The queue of password checks: its bounds, and whose turn it is."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.mqtt.waiting import FairQueue


def queue(limit: int = 100, per_origin: int = 100, per_name: int = 100) -> FairQueue[int]:
    return FairQueue(limit, per_origin, per_name)


def drained(waiting: FairQueue[int]) -> list[int]:
    return list(iter(waiting.take, None))


def test_addresses_take_turns_and_so_do_the_users_of_one() -> None:
    waiting = queue()
    for number in range(3):
        waiting.add("attacker", "sensor", number)
    waiting.add("attacker", "pump", 10)
    waiting.add("device", "sensor", 20)
    assert drained(waiting) == [0, 20, 10, 1, 2]


def test_each_bound_holds_by_itself() -> None:
    at_all, at_origin, at_name = queue(limit=2), queue(per_origin=2), queue(per_name=2)
    assert [at_all.add(f"o{each}", "a", each) for each in range(3)] == [True, True, False]
    assert [at_origin.add("o", f"n{each}", each) for each in range(3)] == [True, True, False]
    assert at_origin.add("other", "n0", 3)
    assert [at_name.add("o", "n", each) for each in range(3)] == [True, True, False]
    assert at_name.add("o", "other", 3)
    assert at_name.add("other", "n", 4)


def test_there_is_room_again_after_a_turn() -> None:
    waiting = queue(limit=1)
    assert waiting.add("o", "n", 1)
    assert not waiting.add("o", "n", 2)
    assert waiting.take() == 1
    assert waiting.take() is None
    assert waiting.add("o", "n", 3)


steps = st.lists(st.tuples(st.sampled_from("aaab"), st.sampled_from("xxy"), st.sampled_from(["add", "take", "remove"])))


@given(steps)
def test_nothing_is_lost_and_no_bound_is_passed(steps: list[tuple[str, str, str]]) -> None:
    waiting, there = queue(limit=5, per_origin=3, per_name=2), dict[int, tuple[str, str]]()
    for number, (origin, name, step) in enumerate(steps):
        if step == "add":
            held = Counter(there.values())
            of_origin = sum(count for (each, _), count in held.items() if each == origin)
            room = len(there) < 5 and of_origin < 3 and held[origin, name] < 2
            assert waiting.add(origin, name, number) == room
            if room:
                there[number] = origin, name
        elif step == "take":
            taken = waiting.take()
            assert (taken is None) == (not there)
            if taken is not None:
                del there[taken]
        else:
            gone = next((each for each, at in there.items() if at == (origin, name)), -1)
            waiting.remove(origin, name, gone)
            there.pop(gone, None)
        assert len(waiting) == len(there)
    assert set(drained(waiting)) == set(there)
