"""Writes the compose files: python -m backend_demo.stack.compose."""

from __future__ import annotations

import sys

from backend_demo.places import compose_files
from backend_demo.stack.compose.files import write

if __name__ == "__main__":
    sys.stdout.writelines(f"{file}\n" for file in write(compose_files()))
