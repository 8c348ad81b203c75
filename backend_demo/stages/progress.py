"""How far a service is with its input: what is done, how long it had waited, and how much is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faust.types import TP
from prometheus_client import Counter, Histogram

from backend_demo import metrics
from backend_demo.faust_batch.batch import Record


class Progress:
    """What a service has done of each partition."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._meters: dict[str, tuple[Counter, Histogram]] = {}
        """By topic; to look them up costs more than to move them."""
        self._done: dict[TP, tuple[int, float]] = {}
        """The offset after the last record that is done, and that record's time, epoch seconds."""
        self._known_since: dict[TP, float] = {}
        """Since when the partition is ours, epoch seconds."""
        self._caught_up_at: dict[TP, float] = {}
        """When nothing was left of the partition for the last time, epoch seconds."""

    def done(self, records: Mapping[TP, Sequence[Record]], now: float) -> None:
        """Counts records whose outcome is durable. `now`: epoch seconds."""
        for tp, found in records.items():
            records_done, waits = self._meters_of(tp.topic)
            records_done.inc(len(found))
            metrics.observe_waits(waits, now, found)
            self._done[tp] = found[-1].offset + 1, found[-1].timestamp / 1000

    def measure(self, ends: Mapping[TP, tuple[int, int]], now: float, *, under_way: bool) -> None:
        """Says how much is left. `ends`: of each partition that is ours, what is fetched next, and where its log ends.

        `under_way`: whether anything of what was fetched is not done.
        """
        for gone in self._known_since.keys() - ends.keys():
            metrics.lag_records.remove(*self._labels(gone))
            metrics.lag_seconds.remove(*self._labels(gone))
            for known in (self._known_since, self._done, self._caught_up_at):
                known.pop(gone, None)
        for tp, (position, end) in ends.items():
            if tp not in self._known_since:  # what begins with its first record would hide that one from rates
                self._meters_of(tp.topic)
            since = self._known_since.setdefault(tp, now)
            done, timestamp = self._done.get(tp, (position, 0.0))
            left = max(0, end - (min(done, position) if under_way else position))
            if not left:
                self._caught_up_at[tp] = now
            # what is left came after the last record that is done, and after nothing was left
            oldest = max(timestamp, self._caught_up_at.get(tp, 0.0)) or since
            metrics.lag_records.labels(*self._labels(tp)).set(left)
            metrics.lag_seconds.labels(*self._labels(tp)).set(max(0.0, now - oldest) if left else 0.0)

    def _meters_of(self, topic: str) -> tuple[Counter, Histogram]:
        if topic not in self._meters:
            labels = self._service, topic
            self._meters[topic] = metrics.records.labels(*labels), metrics.hop_seconds.labels(*labels)
        return self._meters[topic]

    def _labels(self, tp: TP) -> tuple[str, str, str]:
        return self._service, tp.topic, str(tp.partition)
