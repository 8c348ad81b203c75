"""What Prometheus is told to scrape, and how the embedded stack runs it."""

from __future__ import annotations

import json
import stat
from functools import partial
from pathlib import Path

import pytest

from backend_demo.errors import PrerequisiteMissing
from backend_demo.settings import Settings
from backend_demo.stack import ports
from backend_demo.stack.services import prometheus
from backend_demo.stack.services.loader import LOADER
from backend_demo.stack.services.mqtt import MQTT
from backend_demo.stack.services.processing import PROCESSING
from backend_demo.stack.services.table import counted, users
from backend_demo.stack.state.directory import StateDirectory


def test_labels_are_the_original_s_whatever_the_ports() -> None:
    settings = ports.shifted(Settings(port_offset=10_000)).model_dump()
    copies = {"kafka": 1, "processing": 2, "loader": 3, "gateway": 1, "prometheus": 1}
    found = prometheus.targets(counted(copies), partial(prometheus.local_address, addresses=settings))
    assert {entry["targets"][0]: tuple(entry["labels"].values()) for entry in found} == {
        "127.0.0.1:17003": ("processing", "processing", "processing:7003"),
        "127.0.0.1:17103": ("processing", "processing", "processing-2:7103"),
        "127.0.0.1:17005": ("load", "loader", "load:7005"),
        "127.0.0.1:17105": ("load", "loader", "load-2:7105"),
        "127.0.0.1:17205": ("load", "loader", "load-3:7205"),
        "127.0.0.1:17006": ("api-gateway", "gateway", "api-gateway:7006"),
    }
    assert {tuple(entry["labels"]) for entry in found} == {("job", "service", "instance")}


def test_containers_are_found_by_their_names_on_one_port() -> None:
    assert prometheus.container_address(PROCESSING, 1) == "processing:7003"
    assert prometheus.container_address(PROCESSING, 2) == "processing-2:7003"


def test_containers_that_share_a_port_are_found_by_one_name() -> None:
    assert prometheus.container_address(MQTT, 1) == "mqtt:7007"
    assert prometheus.container_address(MQTT, 2) == "mqtt:7107"


def test_targets_can_be_read_by_anybody_and_never_in_parts(tmp_path: Path) -> None:
    folder = tmp_path / "targets"
    for copies in (3, 1):
        found = prometheus.targets([(LOADER, copies)], prometheus.container_address)
        prometheus.write_targets(folder, found)
        (file,) = folder.iterdir()
        assert json.loads(file.read_text()) == found
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    prometheus.write_targets(folder, [])
    assert json.loads(file.read_text()) == []


def test_its_files_are_written_also_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    state = StateDirectory(tmp_path / "state")
    state.create(users())
    command = prometheus.prepare(Settings(prometheus_port=19090), state).command
    assert "--web.listen-address=127.0.0.1:19090" in command
    for name in prometheus.FILES:
        assert (state.path / "prometheus" / name).read_text()
    assert not prometheus.installed()
    with pytest.raises(PrerequisiteMissing, match="Prometheus is not installed") as caught:
        prometheus.check_installed()
    assert "apt install prometheus" in caught.value.hint
