"""`bdemo chaos ls`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backend_demo.cli import options, render


@dataclass(frozen=True)
class ScenarioRow:
    """One scenario."""

    name: str
    about: str
    duration_s: float
    faults: int
    file: str
    """The file, to begin a scenario of your own with."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """The scenarios as JSON."""

    schema: Literal["bdemo.chaos.ls/1"] = "bdemo.chaos.ls/1"
    scenarios: tuple[ScenarioRow, ...]


def ls(output: options.OutputFormat = options.Output.table) -> None:
    """List the scenarios that come with bdemo.

    \b
    Examples:
      $ bdemo chaos ls
      $ cp "$(bdemo chaos ls -o json | jq -r '.scenarios[0].file')" mine.toml
    """
    from backend_demo.operations.chaos import scenario

    found = [(scenario.load(name), str(scenario.FOLDER / f"{name}.toml")) for name in scenario.names()]
    rows = tuple(ScenarioRow(each.name, each.about, each.duration_s, len(each.faults), file) for each, file in found)
    render.show(Document(scenarios=rows), output, _view)


def _view(found: Document) -> render.View:
    rows = [(row.name, f"{row.duration_s:g} s", row.faults, row.about) for row in found.scenarios]
    yield render.Table(("scenario", "time>", "faults>", ""), rows)
