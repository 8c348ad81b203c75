"""Where settings come from: a container's secret files, `bdemo.toml`, and the original's variables."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic_settings import PydanticBaseSettingsSource

from backend_demo.errors import ConfigurationInvalid, suggest
from backend_demo.places import CONFIG_FILE, find_upward
from backend_demo.trust import check_owner, check_private

ENV_PREFIX = "BDEMO_"

#: Folder of a container's secrets, one per file: `bdemo_postgres_dsn`, `bdemo_mqtt_password`.
SECRETS_DIR = Path("/run/secrets")
SECRETS = (
    *("postgres_dsn", "postgres_reader_dsn", "mqtt_password", "kafka_password", "gateway_tokens", "gateway_token"),
)

#: Settings that are written as `[[name]]`, once for each element.
LISTS_OF_TABLES = ("mapping", "poll")

#: Variable names of the original's `.env` that have a meaning here, and their settings.
ORIGINAL_NAMES = {
    "KAFKA_HOST_PORT": "kafka_port",
    "PG_HOST_PORT": "postgres_port",
    "MQTT_PROXY_HOST_PORT": "mqtt_port",
    "MQTT_BROKER_HOST_PORT": "mqtt_port",
    "GATEWAY_HOST_PORT": "gateway_port",
    "PROMETHEUS_HOST_PORT": "prometheus_port",
    "COLLECTION_STATS_HOST_PORT": "collection_stats_port",
    "PROCESSING_STATS_HOST_PORT": "processing_stats_port",
    "AGGREGATION_STATS_HOST_PORT": "aggregation_stats_port",
    "LOAD_STATS_HOST_PORT": "loader_stats_port",
    "GATEWAY_STATS_HOST_PORT": "gateway_stats_port",
}


class _MappingSource(PydanticBaseSettingsSource):
    """A source that returns all its values at once instead of one field at a time."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False


def file_variable(field: str) -> str:
    """The variable that names the file in which a secret is."""
    return f"{ENV_PREFIX}{field.upper()}_FILE"


def _secret_file(field: str) -> Path | None:
    """The file in which a secret is, if there is one. Raises ConfigurationInvalid."""
    variable = file_variable(field)
    if not (named := os.environ.get(variable)):
        path = SECRETS_DIR / f"{ENV_PREFIX.lower()}{field}"
        return path if os.path.isfile(path) else None
    if ENV_PREFIX + field.upper() in os.environ:
        raise ConfigurationInvalid(
            f"{ENV_PREFIX}{field.upper()} and {variable} are both in the environment", hint="remove one of them"
        )
    if SECRETS_DIR not in Path(named).parents:  # which a container has for itself, whatever the mode of its files
        check_private(Path(named))
    return Path(named)


class SecretFilesSource(_MappingSource):
    """Reads secrets from files. pydantic-settings' own source would read every file of the folder, and warn."""

    def __call__(self) -> dict[str, Any]:
        values = {}
        for field in SECRETS:
            path = _secret_file(field)
            try:
                if path is not None:
                    values[field] = path.read_text().strip()
            except (OSError, UnicodeDecodeError) as problem:
                raise ConfigurationInvalid(
                    f"cannot read {path}: {problem}", hint="make it a readable UTF-8 file"
                ) from problem
        return values


class ConfigFileSource(_MappingSource):
    """Reads the nearest `bdemo.toml`, in the working directory or above it."""

    def __call__(self) -> dict[str, Any]:
        path = find_upward(CONFIG_FILE)
        if path is None:
            return {}
        check_owner(path, hint="go to another folder, or make the file yours if you know what it says")
        return read_config_file(path, self.settings_cls.model_fields)


class OriginalEnvSource(_MappingSource):
    """Reads the original's variables, from the environment or from `.env` in the working directory."""

    def __call__(self) -> dict[str, Any]:
        file = Path(".env")
        check_owner(file.absolute(), hint="go to another folder, or make the file yours if you know what it says")
        values = {**read_env_file(file), **os.environ}
        return {field: values[name] for name, field in ORIGINAL_NAMES.items() if values.get(name)}


def read_config_file(path: Path, known: Collection[str]) -> dict[str, Any]:
    """Returns the settings of one `bdemo.toml`; `known` are the names that it may have.

    Raises ConfigurationInvalid when it is unreadable, is not TOML, has an unknown key, or holds secrets and others may
    read it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigurationInvalid(f"cannot read {path}: {problem}", hint="make it a readable UTF-8 file") from problem
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationInvalid(f"{path} is not TOML: {problem}", hint="fix that line") from problem
    for key in values:
        if key not in known:
            raise ConfigurationInvalid(f"{path}: unknown setting {key!r}", hint=suggest(key, known))
    if values.keys() & set(SECRETS):
        check_private(path)
    return values


def read_env_file(path: Path) -> dict[str, str]:
    """Returns the NAME=value lines of an env file; empty when there is no such file."""
    if not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines())
    pairs = (line.removeprefix("export ").partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}


def source_of(field: str, flags: Mapping[str, Any], *, table: int = 0, key: str = "") -> str:
    """Returns where a setting's value comes from, as its user wrote it. Never contains the value: it may be secret.

    `table`, `key`: in a list of tables, the number of the table (from 0) and the key in it.
    """
    variable, config = ENV_PREFIX + field.upper(), None
    if flags.get(field) is not None:
        return f"--{field.replace('_', '-').replace('profiles', 'profile')}"
    if variable in os.environ:
        return f"{variable} in the environment"
    if field in SECRETS and (secret := _secret_file(field)):
        return str(secret)
    if (config := find_upward(CONFIG_FILE)) and field in tomllib.loads(config.read_text(encoding="utf-8-sig")):
        line = _line_of(config.read_text(encoding="utf-8-sig").splitlines(), field, table, key)
        return f"{field} in {config}" + (f", line {line}" if line else "")
    for name in (name for name, original in ORIGINAL_NAMES.items() if original == field):
        if os.environ.get(name):
            return f"{name} in the environment"
        if read_env_file(Path(".env")).get(name):
            return f"{name} in {Path('.env').absolute()}"
    return f"setting {field}"


def _line_of(lines: list[str], field: str, table: int, key: str) -> int | None:
    """The number of the line that sets a field; of a list of tables, the line of the key, or else the table's head."""
    heads = [number for number, line in enumerate(lines, 1) if re.match(rf"\s*\[\[\s*{field}\s*\]\]", line)]
    if len(heads) <= table:
        return next((number for number, line in enumerate(lines, 1) if _sets(line, field)), None)
    begin = heads[table]
    for number, line in enumerate(lines[begin:], begin + 1):
        if line.lstrip().startswith("["):
            break
        if key and _sets(line, key):
            return number
    return begin


def _sets(line: str, key: str) -> bool:
    return re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line) is not None
