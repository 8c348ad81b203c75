"""`bdemo env`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from backend_demo.cli import options, render

#: How a client logs in where Kafka asks for it.
KAFKA_LOGIN = ("kafka_security_protocol", "kafka_sasl_mechanism", "kafka_username", "kafka_password")

SETTINGS = (
    "kafka_bootstrap",
    *KAFKA_LOGIN,
    "postgres_dsn",
    "mqtt_host",
    "mqtt_port",
    "mqtt_username",
    "mqtt_password",
    "gateway_url",
)


@dataclass(frozen=True, kw_only=True)
class Document:
    """The variables as JSON."""

    schema: Literal["bdemo.env/1"] = "bdemo.env/1"
    variables: dict[str, str]


def env(
    state_dir: options.StateDir = None,
    admin: Annotated[bool, typer.Option("--admin", help="A Kafka user who may do everything, also write.")] = False,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Print the stack's addresses as shell exports.

    For your own tools and code. The MQTT user may publish; the PostgreSQL user owns the tables; the Kafka user may read
    all topics, and with --admin do everything.

    \b
    Examples:
      $ eval "$(bdemo env)"
      $ curl "$BDEMO_GATEWAY_URL/temperature_latest?sensor_num=1"
      $ psql "$BDEMO_POSTGRES_DSN" -c 'select count(*) from temperature'
      $ curl "$PROMETHEUS_URL/api/v1/query?query=up"
      $ bdemo env -o json | jq -r .variables.BDEMO_KAFKA_BOOTSTRAP
    """
    from backend_demo.stack.services.prometheus import PROMETHEUS
    from backend_demo.stack.state.directory import StateDirectory

    settings = options.attached(state_dir, kafka="kafka-admin" if admin else "kafka-reader")
    names = [name for name in SETTINGS if settings.kafka_username or name not in KAFKA_LOGIN]
    variables = {f"BDEMO_{name.upper()}": str(getattr(settings, name)) for name in names}
    if PROMETHEUS.name in StateDirectory(settings.state_dir).record.copies():  # not a setting: nothing here reads it
        variables["PROMETHEUS_URL"] = f"http://127.0.0.1:{settings.prometheus_port}"
    render.show(Document(variables=variables), output, _exports)


def _exports(document: Document) -> render.View:
    return [f"export {name}={quoted(value)}" for name, value in document.variables.items()]


def quoted(value: str) -> str:
    """A value as one word of a POSIX shell, in quotes even where it needs none."""
    word = shlex.quote(value)
    return word if word.startswith("'") else f"'{word}'"
