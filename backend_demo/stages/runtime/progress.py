"""Measures how far a service is with its input: what is done, how long it had waited, and how much is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faust.types import TP
from prometheus_client import Counter, Histogram

from backend_demo import metrics
from backend_demo.kafka_record import Record


class Progress:
    """The progress of a service, by partition."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._meters: dict[str, tuple[Counter, Histogram]] = {}
        """By topic; looking them up costs more than moving them."""
        self._done: dict[TP, tuple[int, float]] = {}
        """The offset after the last record that is done, and that record's time, epoch seconds."""
        self._known_since: dict[TP, float] = {}
        """When the partition was assigned, epoch seconds."""
        self._caught_up_at: dict[TP, float] = {}
        """When the partition was last caught up, epoch seconds."""

    def done(self, records: Mapping[TP, Sequence[Record]], now: float) -> None:
        """Counts records whose outcome is durable. `now`: epoch seconds."""
        for tp, found in records.items():
            records_done, waits = self._meters_of(tp.topic)
            records_done.inc(len(found))
            metrics.observe_waits(waits, now, found)
            self._done[tp] = found[-1].offset + 1, found[-1].timestamp / 1000

    def measure(self, ends: Mapping[TP, tuple[int, int]], now: float, *, under_way: bool) -> None:
        """Sets the lag metrics. `ends`: of each assigned partition, the next offset to fetch and the end of its log.

        `under_way`: whether some of the fetched records are not done.
        """
        for gone in self._known_since.keys() - ends.keys():
            metrics.lag_records.remove(*self._labels(gone))
            metrics.lag_seconds.remove(*self._labels(gone))
            for known in (self._known_since, self._done, self._caught_up_at):
                known.pop(gone, None)
        for tp, (position, end) in ends.items():
            if (
                tp not in self._known_since
            ):  # a counter that appears with its first record would hide that one from rates
                self._meters_of(tp.topic)
            since = self._known_since.setdefault(tp, now)
            done, timestamp = self._done.get(tp, (position, 0.0))
            left = max(0, end - (min(done, position) if under_way else position))
            if not left:
                self._caught_up_at[tp] = now
            # what is left arrived after the last record that is done, and after the time when nothing was left
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
