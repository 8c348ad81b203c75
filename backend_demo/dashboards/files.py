"""Every dashboard's file."""

from __future__ import annotations

from pathlib import Path

from backend_demo.dashboards.original import ORIGINAL
from backend_demo.dashboards.overview import OVERVIEW
from backend_demo.dashboards.render import text_of
from backend_demo.dashboards.service import SERVICES
from backend_demo.stack.compose_project import files

DASHBOARDS = (OVERVIEW, ORIGINAL, *SERVICES)

#: Where compose takes them from.
FOLDER = files() / "grafana" / "dashboards"


def write(folder: Path) -> list[Path]:
    """Writes the dashboards; what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for board in DASHBOARDS:
        file = folder / f"{board.file}.json"
        file.write_text(text_of(board))
        written.append(file)
    return written
