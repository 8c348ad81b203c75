"""A lock whose process ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from backend_demo.stack.state.locks import Locks


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from backend_demo.stack.state.locks import Locks\n"
        "lock = Locks(pathlib.Path(sys.argv[1])).hold('loader'); lock.__enter__(); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=30)
    assert [path.name for path in tmp_path.iterdir()] == ["loader"]
    assert not Locks(tmp_path).is_held("loader")
