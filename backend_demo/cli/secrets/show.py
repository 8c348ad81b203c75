"""`bdemo secrets show`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from backend_demo.cli import options, render


@dataclass(frozen=True, kw_only=True)
class Document:
    """One secret as JSON."""

    schema: Literal["bdemo.secrets.show/1"] = "bdemo.secrets.show/1"
    name: str
    value: str


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One that bdemo secrets ls lists.")],
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Print one password, and nothing else.

    \b
    Examples:
      $ bdemo secrets show kafka-reader
      $ PGPASSWORD=$(bdemo secrets show bdemo_reader) psql -h 127.0.0.1 -U bdemo_reader temperature
    """
    from backend_demo.errors import UnknownName
    from backend_demo.stack.state.directory import StateDirectory

    secrets = StateDirectory(options.state_directory(state_dir)).secrets
    if name not in (known := secrets.names()):
        raise UnknownName("secret", name, known)
    render.show(Document(name=name, value=secrets.of(name)), output, lambda found: [found.value])
