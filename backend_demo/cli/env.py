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
      $ curl "$PROMETHEUS_URL/api/v1/query?query=up"
    """
    from backend_demo.stack.state import StateDirectory

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
    if "prometheus" in StateDirectory(settings.state_dir).wanted():  # no setting of ours: nothing here reads it
        sys.stdout.write(f"export PROMETHEUS_URL={quoted(f'http://127.0.0.1:{settings.prometheus_port}')}\n")


def quoted(value: str) -> str:
    """A value as one word of a POSIX shell, in quotes even where it needs none."""
    word = shlex.quote(value)
    return word if word.startswith("'") else f"'{word}'"
