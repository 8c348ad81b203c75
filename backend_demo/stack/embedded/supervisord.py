"""Runs supervisord, whose programs get what the newest `up` hands on and as few rights as possible.

It is run as a program: `python -m backend_demo.stack.embedded.supervisord`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from supervisor import supervisord
from supervisor.options import ServerOptions

from backend_demo.stack import privileges
from backend_demo.stack.embedded.supervisor import DROPS_PRIVILEGES
from backend_demo.stack.state import handed_on
from backend_demo.stack.state.handed_on import HandedOn


class Options(ServerOptions):  # type: ignore[misc]
    """supervisord's options, with its own way to become a program."""

    def execve(self, filename: str, argv: list[str], env: Mapping[str, str]) -> None:
        """Becomes the program, in the forked child."""
        variables = HandedOn(Path(self.pidfile).with_name(handed_on.FILE)).environment()
        # by which processes are found that a killed supervisor has left
        own = {name: value for name, value in env.items() if name.startswith("SUPERVISOR_")}
        if os.geteuid() == 0 and not own.pop(DROPS_PRIVILEGES, ""):
            privileges.drop_capabilities(privileges.needed_by_root(Path.cwd()))
        os.execve(filename, argv, {**variables, **own})  # noqa: S606 - words, no shell


def main() -> None:
    """Runs supervisord until it is shut down."""
    privileges.forbid_core_dumps()
    supervisord.ServerOptions = Options
    supervisord.main()


if __name__ == "__main__":
    main()
