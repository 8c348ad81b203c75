"""The newest revision of the tables: light, as importing Alembic takes 1.2 s, mostly to find nothing to do."""

from __future__ import annotations

from pathlib import Path


def newest() -> str:
    """The revision that the migrations lead to: their files are named `<revision>_<what>.py`, in order."""
    versions = Path(__file__).with_name("migrations") / "versions"
    return max(path.name.partition("_")[0] for path in versions.glob("[0-9]*_*.py"))
