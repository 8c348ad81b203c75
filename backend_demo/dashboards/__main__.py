"""Writes the dashboards' files: python -m backend_demo.dashboards [--folder FOLDER]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m backend_demo.dashboards", description="Writes the dashboards.")
    parser.add_argument("--folder", type=Path, help="for a Grafana of your own; without it, those of compose")
    folder = parser.parse_args().folder
    try:
        from backend_demo.dashboards.files import FOLDER, write
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "grafana_foundation_sdk":
            raise
        return failed("grafana-foundation-sdk is not installed", "pip install 'backend-demo[dashboards]'", 4)
    try:
        written = write(folder or FOLDER)
    except OSError as problem:
        return failed(f"cannot write to {folder or FOLDER}: {problem.strerror}", "choose another one: --folder", 2)
    sys.stdout.writelines(f"{file}\n" for file in written)
    return 0


def failed(error: str, hint: str, code: int) -> int:
    sys.stderr.write(f"error: {error}\nhint: {hint}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
