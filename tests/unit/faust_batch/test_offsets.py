"""Offsets: only the longest acknowledged prefix may be committed, and nothing of an earlier epoch."""

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.faust_batch.offsets import OffsetTracker


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(1, 5), min_size=1), max_size=12),
    st.randoms(use_true_random=False),
)
def test_the_longest_acknowledged_prefix_is_committable(batches: list[dict[str, int]], random) -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    ends: dict[str, int] = {}
    deliveries = []
    for batch in batches:
        ends = {**ends, **{partition: ends.get(partition, 0) + count for partition, count in batch.items()}}
        deliveries.append(tracker.deliver({partition: ends[partition] for partition in batch}))
    assert tracker.under_way == bool(deliveries)
    order = list(range(len(deliveries)))
    random.shuffle(order)
    done: set[int] = set()
    for number in order:
        assert tracker.acknowledge(deliveries[number])
        done.add(number)
        expected = {}
        for partition in "abc":
            for i, delivery in enumerate(deliveries):
                if partition in delivery.ends:
                    if i not in done:
                        break
                    expected[partition] = delivery.ends[partition]
        assert tracker.committable() == expected
    assert not tracker.under_way
    assert tracker.acknowledged == len(deliveries)


def test_what_is_confirmed_is_not_committed_again_and_what_failed_is() -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    tracker.acknowledge(tracker.deliver({"a": 5}))
    assert tracker.committable() == {"a": 5}
    assert tracker.committable() == {"a": 5}  # the commit failed: nothing was confirmed
    tracker.confirm({"a": 5})
    assert tracker.committable() == {}


def test_an_acknowledgement_of_an_earlier_epoch_means_nothing() -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    old = tracker.deliver({"a": 5})
    tracker.reset()
    assert not tracker.acknowledge(old)
    assert tracker.committable() == {}
    tracker.acknowledge(tracker.deliver({"a": 3}))
    assert tracker.committable() == {"a": 3}
