"""Computes the view of the pipeline from two scrapes of the services' metrics. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from backend_demo.operations.observe.exposition import Labels, Samples
from backend_demo.operations.observe.hops import HOPS
from backend_demo.operations.observe.quantiles import quantile
from backend_demo.operations.observe.samples import Scrape
from backend_demo.operations.observe.view import (
    Counts,
    HopView,
    Lag,
    LatencyQuantiles,
    Overview,
    RefusedCount,
    ServiceView,
)

#: The metrics that an overview needs.
NAMES = (
    *dict.fromkeys(hop.counter for hop in HOPS),
    *("bdemo_service_ready", "bdemo_service_rebalancing", "bdemo_records_total"),
    *("bdemo_hop_seconds_bucket", "bdemo_end_to_end_seconds_bucket"),
    *("bdemo_lag_records", "bdemo_lag_seconds", "bdemo_dead_letters_total", "bdemo_duplicates_total"),
    *("bdemo_late_readings_total", "bdemo_repairs_total", "bdemo_sensors"),
    *("bdemo_mqtt_in_flight", "bdemo_mqtt_redelivered_total"),
    *("bdemo_request_seconds_bucket", "bdemo_streams"),
    *("process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"),
)

#: Time for which a service that answers without being ready is starting; after it, it is unhealthy, seconds.
STARTING_S = 60.0

_START = "process_start_time_seconds"
_NOTHING: Samples = MappingProxyType({})


class Seen(Protocol):
    """What the stack itself knows of a copy of a service, perhaps seconds ago."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def uptime_s(self) -> float | None: ...
    @property
    def rss_bytes(self) -> int | None: ...
    @property
    def restarts(self) -> int | None: ...
    @property
    def error(self) -> str | None: ...


def overview(
    before: Scrape[str] | None, now: Scrape[str], seen: Sequence[Seen], *, dead_letters_total: int | None = None
) -> Overview:
    """What happened between two scrapes, and the state now; without `before` there are no rates and no latencies.

    `seen`: every service of the stack in its order, including servers. Copies that only the scrapes know are added.
    `dead_letters_total`: how many Kafka has; the services' own counters begin again with each process.
    """
    seconds = max(now.time - before.time, 1e-3) if before else 1.0
    then = before.copies if before else {}
    pairs = {name: _Pair(then.get(name), samples, seconds) for name, samples in now.copies.items()}
    ours = [pair for pair in pairs.values() if pair.answers]
    known = {each.name: each for each in seen}
    services = tuple(
        _service(name, known.get(name), pairs.get(name), now.time) for name in dict.fromkeys([*known, *pairs])
    )
    return Overview(
        healthy=all(service.state in ("ready", "rebalancing", "off") for service in services),
        time=now.time,
        interval_s=round(seconds, 3) if before else None,
        services=services,
        hops=tuple(
            _hop(hop.name, hop.counter, [copy for each in hop.services for copy in _copies_of(each, pairs)])
            for hop in HOPS
        ),
        end_to_end={
            table: _latency(ours, ["bdemo_end_to_end_seconds_bucket"], {"table": table})
            for table in ("temperature", "average")
        },
        dead_letters=_dead_letters(ours),
        dead_letters_total=dead_letters_total,
        counts=_counts(pairs),
    )


class _Pair:
    """One copy at two moments."""

    def __init__(self, before: Samples | None, now: Samples | None, seconds: float) -> None:
        self.answers = now is not None
        self.now = now or _NOTHING
        self.seconds = seconds
        restarted = before is not None and before.get(_START) != self.now.get(_START)
        self._before = _NOTHING if restarted else before
        """None: it did not answer, so the increase since is unknown."""

    def total(self, name: str, wanted: Mapping[str, str] = MappingProxyType({})) -> float | None:
        """The sum of these series now; None when there is none."""
        values = [value for labels, value in self.now.get(name, {}).items() if wanted.items() <= dict(labels).items()]
        return sum(values) if values else None

    def increases(self, name: str) -> Mapping[Labels, float]:
        """The increase of each of these series, empty when unknown; a counter that went back was restarted from 0."""
        if self._before is None:
            return {}
        old = self._before.get(name, {})
        return {
            labels: value - old.get(labels, 0.0) if value >= old.get(labels, 0.0) else value
            for labels, value in self.now.get(name, {}).items()
        }

    def per_s(self, name: str, counts: Callable[[Mapping[str, str]], bool] = lambda labels: True) -> float | None:
        """The rate of all matching series together; 0 when there are none yet, None when it is unknown."""
        if self._before is None:
            return None
        return sum(grown for labels, grown in self.increases(name).items() if counts(dict(labels))) / self.seconds


def _service(name: str, seen: Seen | None, pair: _Pair | None, now: float) -> ServiceView:
    view = ServiceView(name, "starting")
    if seen is not None:
        view = ServiceView(name, seen.state, seen.pid, seen.restarts, seen.uptime_s, seen.rss_bytes, seen.error)
    if pair is None:
        return view
    if not pair.answers:
        down = view.state in ("ready", "unhealthy")
        return replace(view, state="down", uptime_s=None, rss_bytes=None) if down else view
    started, memory = pair.total(_START), pair.total("process_resident_memory_bytes")
    uptime_s = view.uptime_s if started is None else max(0.0, now - started)
    dead = pair.total("bdemo_dead_letters_total")
    return replace(
        view,
        state=_state(view.state, pair, uptime_s),
        uptime_s=_rounded(uptime_s, 1),
        rss_bytes=view.rss_bytes if memory is None else round(memory),
        cpu_cores=_rounded(pair.per_s("process_cpu_seconds_total"), 3),
        records_per_s=_rounded(_sum([pair.per_s("bdemo_records_total"), _requests([pair])]), 1),
        lag=_lag(pair),
        latency=_latency([pair], ("bdemo_hop_seconds_bucket", "bdemo_request_seconds_bucket")),
        dead_letters=None if dead is None else round(dead),
        dead_letters_per_s=_rounded(pair.per_s("bdemo_dead_letters_total"), 2),
    )


def _state(last: str, pair: _Pair, uptime_s: float | None) -> str:
    """The state of a service that answers: what it says itself counts, since it is newer than what the stack says."""
    if pair.total("bdemo_service_ready") == 1:
        return "ready"
    if pair.total("bdemo_service_rebalancing") == 1:
        return "rebalancing"
    return "starting" if uptime_s is None or uptime_s < STARTING_S else "failed" if last == "failed" else "unhealthy"


def _lag(pair: _Pair) -> Lag | None:
    records = pair.total("bdemo_lag_records")
    seconds = pair.now.get("bdemo_lag_seconds", {}).values()
    return None if records is None else Lag(round(records), round(max(seconds, default=0.0), 1))


def _latency(
    pairs: Iterable[_Pair], names: Iterable[str], wanted: Mapping[str, str] = MappingProxyType({})
) -> LatencyQuantiles:
    buckets: dict[float, float] = {}
    for labels, count in (item for pair in pairs for name in names for item in pair.increases(name).items()):
        values = dict(labels)
        if wanted.items() <= values.items():
            bound = float(values["le"])
            buckets[bound] = buckets.get(bound, 0.0) + count
    return LatencyQuantiles(*(_rounded(quantile(q, buckets), 6) for q in (0.5, 0.95, 0.99)))


def _copies_of(service: str, pairs: Mapping[str, _Pair]) -> list[_Pair]:
    return [
        pair for name, pair in pairs.items() if pair.answers and (name == service or name.startswith(f"{service}-"))
    ]


def _hop(name: str, counter: str, copies: Sequence[_Pair]) -> HopView:
    count, per_s = _sum(copy.total(counter) for copy in copies), _sum(copy.per_s(counter) for copy in copies)
    return HopView(name, None if count is None else round(count), _rounded(per_s, 1))


def _dead_letters(pairs: Iterable[_Pair]) -> tuple[RefusedCount, ...]:
    counts: dict[tuple[str, str], float] = {}
    rates: dict[tuple[str, str], float] = {}
    for pair in pairs:
        grown = pair.increases("bdemo_dead_letters_total")
        for labels, count in pair.now.get("bdemo_dead_letters_total", {}).items():
            values = dict(labels)
            key = values["service"], values["reason"]
            counts[key] = counts.get(key, 0.0) + count
            if labels in grown:
                rates[key] = rates.get(key, 0.0) + grown[labels] / pair.seconds
    found = [RefusedCount(*key, round(count), _rounded(rates.get(key), 2)) for key, count in counts.items() if count]
    return tuple(sorted(found, key=lambda each: (-each.count, each.service, each.reason)))


def _counts(pairs: Mapping[str, _Pair]) -> Counts:
    def whole(services: Sequence[str], name: str, wanted: Mapping[str, str] = MappingProxyType({})) -> int | None:
        total = _sum(copy.total(name, wanted) for each in services for copy in _copies_of(each, pairs))
        return None if total is None else round(total)

    gateway = _copies_of("gateway", pairs)
    return Counts(
        sensors_active=whole(("aggregation",), "bdemo_sensors", {"state": "active"}),
        sensors_silent=whole(("aggregation",), "bdemo_sensors", {"state": "silent"}),
        mqtt_in_flight=whole(("mqtt", "bridge"), "bdemo_mqtt_in_flight"),
        mqtt_redelivered=whole(("mqtt", "bridge"), "bdemo_mqtt_redelivered_total"),
        duplicates=whole(("loader",), "bdemo_duplicates_total"),
        late_readings=whole(("aggregation",), "bdemo_late_readings_total"),
        repairs=whole(("aggregation",), "bdemo_repairs_total"),
        requests_per_s=_rounded(_requests(gateway), 1),
        request_errors_per_s=_rounded(_requests(gateway, failed=True), 2),
        streams=whole(("gateway",), "bdemo_streams"),
    )


def _requests(pairs: Iterable[_Pair], *, failed: bool = False) -> float | None:
    """Requests a second, or those that ended in an error of the gateway."""

    def counts(values: Mapping[str, str]) -> bool:
        return values["le"] == "+Inf" and (not failed or values["status"] >= "500")

    return _sum(pair.per_s("bdemo_request_seconds_bucket", counts) for pair in pairs)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if known else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
