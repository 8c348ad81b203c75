"""Where files are: the state directory, the cache, the nearest bdemo.toml. Light, as `bdemo status` asks it first."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CONFIG_FILE = "bdemo.toml"


def default_state_dir() -> Path:
    """The state directory of a user who names none."""
    return Path(platformdirs.user_state_dir("bdemo"))


def cache_dir() -> Path:
    """What all stacks of a user share and can be fetched again: the jars of Kafka."""
    return Path(platformdirs.user_cache_dir("bdemo"))


def find_upward(name: str) -> Path | None:
    """The nearest file of that name in the working directory or above it."""
    here = Path.cwd()
    return next((folder / name for folder in (here, *here.parents) if (folder / name).exists()), None)


def quick_state_dir() -> Path | None:
    """The state directory, where neither a bdemo.toml nor more than BDEMO_STATE_DIR has a say; None: ask Settings.

    Building the settings takes 0.3 s, half of what `bdemo status` may take.
    """
    named = os.environ.get("BDEMO_STATE_DIR")
    if named == "" or find_upward(CONFIG_FILE):
        return None
    return Path(named) if named else default_state_dir()
