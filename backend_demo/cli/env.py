"""`bdemo env`."""

from __future__ import annotations

import shlex
import sys

from backend_demo.cli import options


def env(state_dir: options.StateDir = None) -> None:
    """Print the stack's addresses as shell exports.

    For your own tools and code. The MQTT user may publish; the PostgreSQL user owns the tables.

    \b
    Examples:
      $ eval "$(bdemo env)"
      $ curl "$BDEMO_GATEWAY_URL/temperature_latest?sensor_num=1"
      $ psql "$BDEMO_POSTGRES_DSN" -c 'select count(*) from temperature'
    """
    settings = options.attached(state_dir)
    for name in (
        "kafka_bootstrap",
        "postgres_dsn",
        "mqtt_host",
        "mqtt_port",
        "mqtt_username",
        "mqtt_password",
        "gateway_url",
    ):
        sys.stdout.write(f"export BDEMO_{name.upper()}={quoted(str(getattr(settings, name)))}\n")


def quoted(value: str) -> str:
    """A value as one word of a POSIX shell, in quotes even where it needs none."""
    word = shlex.quote(value)
    return word if word.startswith("'") else f"'{word}'"
