"""Writes the dashboards' files: python -m backend_demo.dashboards [--folder FOLDER]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m backend_demo.dashboards", description="Writes the dashboards.")
    parser.add_argument("--folder", type=Path, help="for a Grafana of your own; without it, those of compose")
    chosen = parser.parse_args()
    try:
        from backend_demo.dashboards.files import FOLDER, write
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "grafana_foundation_sdk":
            raise
        sys.stderr.write("error: grafana-foundation-sdk is not installed\n")
        sys.stderr.write("hint: pip install 'backend-demo[dashboards]'\n")
        return 4
    for file in write(chosen.folder or FOLDER):
        sys.stdout.write(f"{file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
