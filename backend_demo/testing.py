"""A running stack for the tests of any project."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from backend_demo.settings import Settings
from backend_demo.stack.base import ServiceStatus, Stack
from backend_demo.stack.open import open_stack
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN


@contextlib.contextmanager
def running_stack(
    state_dir: Path | None = None, *, any_port: bool = True, without: Collection[str] = (), **settings: Any
) -> Iterator[tuple[Settings, Stack]]:
    """Brings up a stack of its own on free ports, yields its settings and the stack, and stops it at the end.

    It is wiped at the end unless a `state_dir` is given. `without` names services to leave out. `settings` are fields
    of `Settings`; `stack="compose"` runs containers. Those that are yielded name users who may do everything::

        @pytest.fixture(scope="session")
        def stack():
            with running_stack(aggregation_window=5) as (settings, stack):
                yield settings
    """
    with contextlib.ExitStack() as cleanup:
        folder = state_dir or Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="bdemo-")))
        configured = Settings(state_dir=folder, **settings)
        stack = open_stack(configured, any_port=any_port)
        cleanup.callback(stack.down, wipe=state_dir is None)
        stack.up((), _ignore, without=without)
        yield StateDirectory(folder).attached(configured, kafka=KAFKA_ADMIN), stack


def _ignore(status: ServiceStatus) -> None:
    """Shows no progress."""
