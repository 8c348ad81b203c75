"""Which copies a fault can be done to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend_demo.domain.fault import FaultKind
from backend_demo.errors import NoStack, ResourceInUse, ServiceFailed, UnknownName
from backend_demo.settings import Settings
from backend_demo.stack.faults import victims
from backend_demo.stack.open import faults_in
from backend_demo.stack.services.service import Service
from backend_demo.stack.services.table import SERVICES
from backend_demo.stack.state.directory import StateDirectory


class Maker:
    """A `FaultMaker` of a stack in which all but `processing-2` runs."""

    table: Mapping[str, Service] = SERVICES

    def __init__(self, state: StateDirectory) -> None:
        self.state = state

    def running(self) -> list[str]:
        return ["kafka", "processing", "processing-3", "loader"]

    @contextmanager
    def fault(self, kind: FaultKind, copies: Collection[str], *, held: bool) -> Iterator[None]:
        yield


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    state = StateDirectory(tmp_path / "state")
    state.create()
    state.record.save(Settings(state_dir=state.path))
    state.record.add_copies({"kafka": 1, "processing": 3, "loader": 1})
    return Maker(state)


def test_a_name_means_copies(maker: Maker) -> None:
    assert victims(maker, "loader") == ["loader"]
    assert victims(maker, "processing-1") == ["processing"]
    assert victims(maker, "processing-3") == ["processing-3"]


@pytest.mark.parametrize("name", ["kavka", "gateway", "processing-4", "loader-2"])
def test_what_is_not_there_is_unknown(maker: Maker, name: str) -> None:
    with pytest.raises(UnknownName):
        victims(maker, name)


def test_what_does_not_run_is_refused(maker: Maker) -> None:
    for name in ("processing", "processing-2"):
        with pytest.raises(ServiceFailed, match="processing-2 does not run"):
            victims(maker, name)


def test_what_is_run_by_hand_is_left_alone(maker: Maker) -> None:
    with maker.state.locks.hold("processing-2"), pytest.raises(ResourceInUse, match="bdemo run"):
        victims(maker, "processing-2")


@pytest.mark.parametrize("stack", ["embedded", "compose"])
def test_a_stack_that_has_ended_without_down(tmp_path: Path, stack: str) -> None:
    state = StateDirectory(tmp_path / "state")
    state.create()
    with pytest.raises(NoStack):
        faults_in(state.path)
    state.record.save(Settings(state_dir=state.path, stack=stack))  # type: ignore[arg-type]
    if stack == "embedded":
        with pytest.raises(NoStack):
            faults_in(state.path).running()
