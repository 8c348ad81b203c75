"""Where the gateway finds the metrics of all copies, and how it tells what it found there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.gateway.sampler import Known, Targets, encode, parse
from backend_demo.gateway.stats import StatsModel
from backend_demo.operations.overview import overview
from backend_demo.operations.samples import Address, Scrape
from backend_demo.settings import Settings
from backend_demo.stack.servers import prometheus
from backend_demo.stack.services import SERVICES, all_copies, most_copies, stats_port

OURS = [service for service in SERVICES.values() if service.ours]
COPIES = st.fixed_dictionaries({service.name: st.integers(1, most_copies(service)) for service in OURS})


@given(copies=COPIES)
def test_every_copy_has_the_name_that_the_stack_gives_it(copies: dict[str, int]) -> None:
    addresses = Settings().model_dump()
    written = prometheus.text_of(
        prometheus.targets(copies, lambda copy: prometheus.local_address(copy, addresses))
    ).encode()
    assert parse(written) == {name: Address("127.0.0.1", stats_port(name, addresses)) for name in all_copies(copies)}


def test_those_of_the_containers() -> None:
    folder = Path(__file__).parents[2] / "compose" / "prometheus" / "targets"
    found = parse((folder / prometheus.TARGETS).read_bytes())
    assert found == {
        service.name: Address(service.name, getattr(Settings(), f"{service.name}_stats_port")) for service in OURS
    }


def test_without_a_file_there_is_one_copy_of_each() -> None:
    found = Targets(Settings(stats_host="0.0.0.0", loader_stats_port=17005)).read()
    assert list(found) == [service.name for service in OURS]
    assert found["loader"] == Address("127.0.0.1", 17005)


def test_the_file_is_read_afresh_and_what_was_known_is_kept(tmp_path: Path) -> None:
    file = tmp_path / prometheus.TARGETS
    targets = Targets(Settings(metrics_targets=file))
    assert len(targets.read()) == len(OURS)

    def write(copies: dict[str, int]) -> None:
        prometheus.write_targets(tmp_path, prometheus.targets(copies, prometheus.container_address))

    write({"processing": 1})
    assert list(targets.read()) == ["processing"]
    write({"processing": 2})
    assert list(targets.read()) == ["processing", "processing-2"]
    file.write_text("[{")
    assert list(targets.read()) == ["processing", "processing-2"]
    write({"loader": 1})
    assert list(targets.read()) == ["loader"]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'[{"targets":[],"labels":{}}]'])
def test_what_is_no_file_of_targets(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        parse(content)


READY: Any = {
    "bdemo_service_ready": {(("service", "loader"),): 1.0},
    "process_start_time_seconds": {(): 1000.0},
    "sensor_values_loaded_total": {(): 50.0},
    "bdemo_dead_letters_total": {(("reason", "json"), ("service", "loader")): 2.0},
}


def told(before: Any, now: Any, *, rates: bool) -> dict[str, Any]:
    scrapes = Scrape(2000.0, before), Scrape(2002.0, now)
    found = json.loads(encode(overview(*scrapes, [Known(name) for name in now]), rates=rates))
    StatsModel.model_validate(found)
    return dict(found)


def test_the_first_look_has_counts_and_no_rates() -> None:
    found = told({}, {"loader": READY, "bridge": None}, rates=False)
    assert found["interval_s"] is None
    hops = {hop["name"]: hop for hop in found["hops"]}
    assert hops["table temperature"] == {"name": "table temperature", "count": 50, "per_s": None}
    assert {service["name"]: service["state"] for service in found["services"]} == {"loader": "ready", "bridge": "down"}
    assert found["healthy"] is False


def test_the_next_one_has_both() -> None:
    more = {**READY, "sensor_values_loaded_total": {(): 70.0}}
    found = told({"loader": READY}, {"loader": more}, rates=True)
    assert (found["interval_s"], found["healthy"]) == (2.0, True)
    hops = {hop["name"]: hop for hop in found["hops"]}
    assert hops["table temperature"] == {"name": "table temperature", "count": 70, "per_s": 10.0}
    assert found["dead_letters"] == [{"service": "loader", "reason": "json", "count": 2, "per_s": 0.0}]
    assert found["services"][0]["restarts"] is None
