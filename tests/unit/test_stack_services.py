"""The table of services and what is made from it."""

from __future__ import annotations

import pytest

from backend_demo.errors import UnknownName
from backend_demo.settings import Settings
from backend_demo.stack.services import SERVICES, service, with_needs


def test_a_service_comes_after_what_it_needs() -> None:
    seen: set[str] = set()
    for entry in SERVICES.values():
        assert set(entry.needs) <= seen
        seen.add(entry.name)


def test_every_port_is_a_setting_and_no_two_are_the_same() -> None:
    ports = [port for entry in SERVICES.values() for port in entry.ports]
    assert len({Settings.model_fields[port].default for port in ports}) == len(ports)


def test_every_service_of_ours_serves_metrics() -> None:
    assert all(f"{entry.name}_stats_port" in entry.ports for entry in SERVICES.values() if entry.ours)


def test_nothing_named_means_everything() -> None:
    assert with_needs([]) == list(SERVICES)


def test_what_a_service_needs_comes_with_it() -> None:
    assert with_needs(["gateway", "bridge"]) == ["kafka", "mqtt", "postgres", "bridge", "gateway"]


@pytest.mark.parametrize("name", ["loder", "", "KAFKA"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownName):
        service(name)
    with pytest.raises(UnknownName):
        with_needs([name])


def test_the_hint_names_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        service("loder")
    assert caught.value.hint == "did you mean loader?"
