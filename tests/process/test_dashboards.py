"""The command that writes the dashboards."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from backend_demo.dashboards.files import FOLDER

BOARDS = {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}


def test_the_command_writes_them_where_it_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "dashboards"
    command = [sys.executable, "-m", "backend_demo.dashboards", "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(str(file) for file in folder.iterdir())
    assert {file.name for file in folder.iterdir()} == {f"{name}.json" for name in BOARDS}


def test_a_folder_that_cannot_be_written_is_an_error_with_a_hint(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    command = [sys.executable, "-m", "backend_demo.dashboards", "--folder", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: cannot write to .*\nhint: .*\n", done.stderr)
