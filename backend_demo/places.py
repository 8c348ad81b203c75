"""Paths: the state directory, the cache, the nearest bdemo.toml. Quick to import, since `bdemo status` needs it."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CONFIG_FILE = "bdemo.toml"


def default_state_dir() -> Path:
    """Returns the state directory that is used when none is named."""
    return Path(platformdirs.user_state_dir("bdemo"))


def cache_dir() -> Path:
    """Returns the folder of files that all stacks of a user share and that can be fetched again: Kafka's jars."""
    return Path(platformdirs.user_cache_dir("bdemo"))


def compose_files() -> Path:
    """The folder with compose.yaml: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "compose"
    return inside if inside.is_dir() else package.parent / "compose"


def find_upward(name: str) -> Path | None:
    """Returns the nearest file of that name, in the working directory or above it; None when there is none."""
    here = Path.cwd()
    return next((folder / name for folder in (here, *here.parents) if (folder / name).exists()), None)


def quick_state_dir() -> Path | None:
    """Returns the state directory if BDEMO_STATE_DIR or the default decides it; None when a bdemo.toml might.

    Building the settings takes 0.3 s, half of the time that `bdemo status` may take.
    """
    named = os.environ.get("BDEMO_STATE_DIR")
    if named == "" or find_upward(CONFIG_FILE):
        return None
    return Path(named) if named else default_state_dir()
