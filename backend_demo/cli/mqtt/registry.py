"""Which users the commands of `bdemo mqtt user` mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.cli import options

if TYPE_CHECKING:
    from backend_demo.stack.mqtt_users import MqttUsers


def registry(state_dir: Path | None) -> MqttUsers:
    """The users of the stack; those of the file in the setting `mqtt_users_file`, if it is set.

    Raises NoStack, ConfigurationInvalid.
    """
    from backend_demo.stack.mqtt_users import MqttUsers, users_of
    from backend_demo.stack.state.users_file import UsersFile

    settings = options.settings(state_dir=state_dir)
    if state_dir is None and settings.mqtt_users_file is not None:
        return MqttUsers(UsersFile(settings.mqtt_users_file))
    return users_of(settings.state_dir)
