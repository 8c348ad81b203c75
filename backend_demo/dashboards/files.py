"""The files of all dashboards."""

from __future__ import annotations

from pathlib import Path

from backend_demo.dashboards.original import ORIGINAL
from backend_demo.dashboards.overview import OVERVIEW
from backend_demo.dashboards.render import text_of
from backend_demo.dashboards.service import DASHBOARDS as OF_SERVICES
from backend_demo.places import compose_files

DASHBOARDS = (OVERVIEW, ORIGINAL, *OF_SERVICES)

#: Folder from which compose provisions Grafana.
FOLDER = compose_files() / "grafana" / "dashboards"


def write(folder: Path) -> list[Path]:
    """Writes the dashboards; returns the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for board in DASHBOARDS:
        file = folder / f"{board.file}.json"
        file.write_text(text_of(board))
        written.append(file)
    return written
