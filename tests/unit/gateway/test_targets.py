"""The gateway finds the metrics of every copy of a service."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.gateway.targets import Targets, parse
from backend_demo.operations.observe.samples import Address
from backend_demo.settings import Settings
from backend_demo.stack.services import prometheus
from backend_demo.stack.services.copies import all_copies, most_copies
from backend_demo.stack.services.table import SERVICES, counted, stats_port

OURS = [service for service in SERVICES.values() if service.ours]
#: Those of a stack with default settings.
RUNNING = [service for service in OURS if service.name not in ("bridge", "poll")]
COPIES = st.fixed_dictionaries({service.name: st.integers(1, most_copies(service)) for service in OURS})


@given(copies=COPIES)
def test_every_copy_has_the_name_that_the_stack_gives_it(copies: dict[str, int]) -> None:
    addresses = Settings().model_dump()
    written = prometheus.text_of(
        prometheus.targets(counted(copies), partial(prometheus.local_address, addresses=addresses))
    ).encode()
    assert parse(written) == {name: Address("127.0.0.1", stats_port(name, addresses)) for name in all_copies(copies)}


def test_the_targets_of_the_containers() -> None:
    folder = Path(__file__).parents[3] / "compose" / "prometheus" / "targets"
    found = parse((folder / prometheus.TARGETS).read_bytes())
    assert found == {
        service.name: Address(service.name, getattr(Settings(), f"{service.name}_stats_port")) for service in RUNNING
    }


def test_without_a_file_there_is_one_copy_of_each() -> None:
    found = Targets(Settings(stats_host="0.0.0.0", loader_stats_port=17005)).read()
    assert list(found) == [service.name for service in RUNNING]
    assert found["loader"] == Address("127.0.0.1", 17005)


def test_without_a_file_readings_come_in_where_the_settings_say() -> None:
    found = Targets(Settings(mqtt_source="bridge")).read()
    assert "bridge" in found
    assert "mqtt" not in found


def test_the_file_is_read_each_time_and_the_last_valid_targets_are_kept(tmp_path: Path) -> None:
    file = tmp_path / prometheus.TARGETS
    targets = Targets(Settings(metrics_targets=file))
    assert len(targets.read()) == len(RUNNING)

    def write(copies: dict[str, int]) -> None:
        prometheus.write_targets(tmp_path, prometheus.targets(counted(copies), prometheus.container_address))

    write({"processing": 1})
    assert list(targets.read()) == ["processing"]
    write({"processing": 2})
    assert list(targets.read()) == ["processing", "processing-2"]
    file.write_text("[{")
    assert list(targets.read()) == ["processing", "processing-2"]
    write({"loader": 1})
    assert list(targets.read()) == ["loader"]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'[{"targets":[],"labels":{}}]'])
def test_an_invalid_file_of_targets_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        parse(content)
