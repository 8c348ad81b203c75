"""`bdemo secrets ls`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backend_demo.cli import options, render


@dataclass(frozen=True)
class SecretRow:
    """One password, without its value."""

    name: str
    checked_by: str
    """The server that asks for it."""
    used_by: tuple[str, ...]
    """The services that log in with it; empty: bdemo's own commands and what you run."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """The secrets as JSON."""

    schema: Literal["bdemo.secrets.ls/1"] = "bdemo.secrets.ls/1"
    secrets: tuple[SecretRow, ...]


def ls(state_dir: options.StateDir = None, output: options.OutputFormat = options.Output.table) -> None:
    """List the passwords of the stack: who asks for each, and who uses it.

    Users of devices, which `bdemo mqtt user` adds, are not among them: only hashes of theirs are stored.

    \b
    Examples:
      $ bdemo secrets ls
      $ bdemo secrets ls -o json | jq -r '.secrets[].name'
    """
    from backend_demo.stack.services.table import secrets_of
    from backend_demo.stack.state.directory import StateDirectory

    known = StateDirectory(options.state_directory(state_dir)).secrets.names()
    rows = (SecretRow(name, server, services) for name, server, services in secrets_of() if name in known)
    render.show(Document(secrets=tuple(rows)), output, _view)


def _view(found: Document) -> render.View:
    rows = [(row.name, row.checked_by, ", ".join(row.used_by)) for row in found.secrets]
    yield render.Table(("secret", "asked for by", "used by"), rows)
