"""The table of services and what is made from it."""

from __future__ import annotations

import pytest

from backend_demo.domain.topics import PARTITIONS
from backend_demo.errors import UnknownName, UsageError
from backend_demo.settings import Settings
from backend_demo.stack.services.copies import all_copies
from backend_demo.stack.services.table import (
    SERVICES,
    check_copies,
    chosen,
    copy_of,
    not_asked_for,
    service,
    services_of,
    shown,
    stats_port,
    with_needs,
)


@pytest.mark.parametrize("stack", ["embedded", "compose"])
def test_a_service_comes_after_what_it_needs(stack: str) -> None:
    seen: set[str] = set()
    for entry in services_of(stack).values():
        assert set(entry.needs) <= seen
        seen.add(entry.name)


def test_every_port_is_a_setting_and_no_two_are_the_same() -> None:
    ports = [port for entry in SERVICES.values() for port in entry.ports]
    assert len({Settings.model_fields[port].default for port in ports}) == len(ports)


def test_every_service_of_ours_serves_metrics() -> None:
    assert all(f"{entry.name}_stats_port" in entry.ports for entry in SERVICES.values() if entry.ours)


def test_nothing_named_means_everything() -> None:
    assert with_needs([]) == list(SERVICES)


def test_readings_come_through_the_proxy_or_the_bridge() -> None:
    for source, other in (("proxy", "bridge"), ("bridge", "mqtt")):
        not_asked = not_asked_for(Settings(mqtt_source=source).model_dump())
        assert not_asked == {other, "poll"}
        assert with_needs([], not_asked=not_asked) == [name for name in SERVICES if name not in not_asked]
        assert other in with_needs([other], not_asked=not_asked)
    assert "bridge" not in shown({"kafka": 1}, ())
    assert "bridge" in shown({"bridge": 1}, ())
    assert "bridge" in shown({}, {"bridge"})


def test_devices_are_asked_when_there_is_a_poll() -> None:
    asked = Settings(poll=[{"url": "http://192.0.2.1/", "sensor": "1", "value": "t"}])  # type: ignore[list-item]
    assert "poll" not in not_asked_for(asked.model_dump())
    assert "poll" in not_asked_for(Settings().model_dump())


def test_what_a_service_needs_comes_with_it() -> None:
    assert with_needs(["gateway", "bridge"]) == ["kafka", "postgres", "bridge", "gateway"]


@pytest.mark.parametrize("name", ["loder", "", "KAFKA"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownName):
        service(name)
    with pytest.raises(UnknownName):
        with_needs([name])
    with pytest.raises(UnknownName):
        with_needs([], without=[name])


def test_the_hint_names_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        service("loder")
    assert caught.value.hint == "did you mean loader?"


def test_what_is_left_out_is_not_among_them() -> None:
    assert with_needs([], without=["gateway", "bridge", "poll", "prometheus"]) == [
        *("kafka", "postgres", "mqtt", "collection", "processing", "aggregation", "loader")
    ]


def test_what_only_the_other_stack_has_may_be_left_out_and_cannot_be_started() -> None:
    assert with_needs([], without=["grafana"]) == list(SERVICES)
    assert "grafana" in with_needs(["grafana"], table=services_of("compose"))
    with pytest.raises(UsageError, match="only the compose stack has grafana"):
        with_needs(["grafana"])


def test_what_is_needed_cannot_be_left_out_alone() -> None:
    with pytest.raises(UsageError, match="postgres cannot be left out: loader, gateway need it") as caught:
        with_needs([], without=["postgres"])
    assert caught.value.hint == "also leave out: --without loader --without gateway"
    assert "postgres" not in with_needs([], without=["postgres", "loader", "gateway"])
    with pytest.raises(UsageError, match="both named and left out"):
        with_needs(["gateway"], without=["gateway"])


def test_the_first_copy_has_the_service_s_name() -> None:
    assert all_copies({"kafka": 1, "processing": 3}) == ["kafka", "processing", "processing-2", "processing-3"]


@pytest.mark.parametrize(
    ("name", "found"),
    [("processing", ("processing", 1)), ("processing-1", ("processing", 1)), ("loader-8", ("loader", 8))],
)
def test_a_copy_is_found_by_its_name(name: str, found: tuple[str, int]) -> None:
    entry, number = copy_of(name)
    assert (entry.name, number) == found


@pytest.mark.parametrize("name", ["processing-0", "processing-9", "processing-12", "processing-", "kafka-2", "x-2"])
def test_what_cannot_be_a_copy_is_refused(name: str) -> None:
    with pytest.raises(UnknownName):
        copy_of(name)


def test_a_service_s_name_means_all_its_copies() -> None:
    copies = {"processing": 2}
    assert chosen("processing", copies) == ["processing", "processing-2"]
    assert chosen("processing-1", copies) == ["processing"]
    assert chosen("processing-2", copies) == ["processing-2"]
    assert chosen("loader", copies) == ["loader"]
    with pytest.raises(UnknownName) as caught:
        chosen("processing-3", copies)
    assert "processing-2" in caught.value.hint


def test_each_copy_has_a_metrics_port_of_its_own() -> None:
    addresses = Settings().model_dump()
    most = {entry.name: PARTITIONS for entry in SERVICES.values() if not entry.single}
    ports = [stats_port(copy, addresses) for copy in all_copies(most)]
    assert stats_port("processing-3", addresses) == 7203
    assert len(set(ports)) == len(ports)
    assert not {addresses[port] for entry in SERVICES.values() for port in entry.ports[:-1]} & set(ports)


@pytest.mark.parametrize(
    ("name", "count", "reason"),
    [
        ("processing", 0, "at least one copy"),
        ("processing", -1, "at least one copy"),
        ("processing", PARTITIONS + 1, "8 partitions"),
        ("kafka", 3, "its data belong to a single process"),
        ("gateway", 2, "it listens on a single port"),
        ("bridge", 2, "its MQTT session belongs to a single client"),
    ],
)
def test_copies_that_there_cannot_be_are_refused_with_the_reason(name: str, count: int, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        check_copies({name: count})
    assert caught.value.hint


def test_copies_of_what_is_not_started_are_refused() -> None:
    check_copies({"processing": PARTITIONS, "kafka": 1})
    check_copies({"processing": 2}, among=["processing"])
    with pytest.raises(UsageError, match="processing is not among the services to start"):
        check_copies({"processing": 2}, among=["kafka"])
    with pytest.raises(UnknownName):
        check_copies({"procesing": 2})
