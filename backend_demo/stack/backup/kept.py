"""What a backup keeps of a stack: the data of its servers, its users, passwords and certificates.

Logs and metrics are left out, and what `up` writes again: configuration, ports and addresses.
"""

from __future__ import annotations

from backend_demo.errors import NoStack, UsageError
from backend_demo.stack.embedded.stack import EmbeddedStack
from backend_demo.stack.open import stack_in
from backend_demo.stack.services.service import KeptData
from backend_demo.stack.services.table import SERVICES
from backend_demo.stack.state.directory import StateDirectory

#: The data of each server.
DATA: dict[str, KeptData] = {name: service.data for name, service in SERVICES.items() if service.data}


def names(state: StateDirectory) -> list[str]:
    """Paths of what is kept, in the state directory."""
    own = (state.mqtt_users_file, state.tls, state.secrets_file)
    return [*(data.folder for data in DATA.values()), *(path.relative_to(state.path).as_posix() for path in own)]


def end_offsets(state: StateDirectory) -> dict[str, list[int]] | None:
    """Where the topics of a stack end that does not run; None when nobody knows."""
    return next((data.end_offsets(state.path / data.folder) for data in DATA.values() if data.end_offsets), None)


def embedded_stack(state: StateDirectory) -> EmbeddedStack:
    """The stack of child processes in a directory. Raises UsageError for one of containers."""
    stack = stack_in(state.path)
    if not isinstance(stack, EmbeddedStack):
        raise UsageError(
            f"{state.path} belongs to a compose stack, whose data are in volumes of Docker",
            hint="bdemo backup and restore do not support these yet: use another --state-dir, or copy the volumes",
        )
    return stack


def check_there(state: StateDirectory) -> None:
    """Raises NoStack when there is nothing to keep, ConfigurationInvalid when it is half restored."""
    state.check_whole()
    if not state.secrets_file.exists():
        raise NoStack(state.path)
