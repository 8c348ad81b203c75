"""Writes the reference pages from the code: `python docs/generate.py`; a test compares them.

Each page is a pure function of what it describes.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from prometheus_client.metrics import MetricWrapperBase

from backend_demo import environment, errors, metrics
from backend_demo.domain.reading import Reason
from backend_demo.domain.topics import TOPICS
from backend_demo.metrics_server import CONNECTION_S, CONNECTIONS_MAX
from backend_demo.places import CONFIG_FILE
from backend_demo.settings import Settings
from backend_demo.settings_sources import ENV_PREFIX, ORIGINAL_NAMES, SECRETS, SECRETS_DIR, file_variable
from backend_demo.stack.services import postgres_server
from backend_demo.stack.services.table import SERVICES
from backend_demo.stack.state.secrets import KAFKA_ADMIN, KAFKA_READER

REFERENCE = Path(__file__).parent / "reference"
SCHEMAS = REFERENCE / "schemas"
NOTICE = "<!-- made by docs/generate.py -->\n"


def table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def settings() -> str:
    originals = {field: name for name, field in ORIGINAL_NAMES.items()}
    rows = []
    for name, field in Settings.model_fields.items():
        bounds = ", ".join(
            f"{word} {getattr(limit, attribute)}"
            for limit in field.metadata
            for attribute, word in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("min_length", "at least"))
            if hasattr(limit, attribute)
        )
        default = "the user's state directory" if name == "state_dir" else repr(field.default)
        rows.append(
            [
                f"`{name}`",
                f"`{default}`" if name != "state_dir" else default,
                bounds,
                (field.description or "") + (f" The original's `{originals[name]}`." if name in originals else ""),
            ]
        )
    secrets = ", ".join(f"`{ENV_PREFIX.lower()}{name}`" for name in SECRETS)
    variable = file_variable(SECRETS[0])
    return f"""# Settings

From strongest to weakest: a flag of the command, `{ENV_PREFIX}` and the name in capitals in the environment,
a container's secret files ({secrets} in `{SECRETS_DIR}`), `{CONFIG_FILE}` in the
working directory or above it, the original's names (environment or `.env`), the default.
An unknown name is an error. A secret may also be in a file of your own that nobody else can read, which a variable
names: `{variable}=/home/me/dsn`.

{table(["setting", "default", "bounds", "meaning"], rows)}
## The environment of services

A process of the embedded stack gets these variables of the shell that said the newest `bdemo up`, as they were there,
and no others: {", ".join(f"`{name}`" for name in environment.NAMES)}, and those that begin with
{" or ".join(f"`{prefix}`" for prefix in environment.PREFIXES)};
{" and ".join(f"`{name}={value}`" for name, value in environment.FIXED.items())} is set. So keys and tokens of the
shell stay there, and variables such as `JAVA_TOOL_OPTIONS`, `PGSSLMODE` or `APP_VERSION` change nothing. Settings are
handed on by files that only their owner can read. A process takes the variables when it starts: to change them in one
that runs, restart it.

`bdemo run` keeps these as well, for terminals and debuggers:
{", ".join(f"`{name}`" for name in environment.TERMINAL_NAMES)}, and those that begin with
{", ".join(f"`{prefix}`" for prefix in environment.TERMINAL_PREFIXES)}. No command uses a proxy for what it asks of a
stack. Of libpq's variables only `PGPASSWORD` and `PGPASSFILE` count, where a PostgreSQL URL has no password.

## As root

`bdemo up` warns root, for whom services lose what can be taken from them. PostgreSQL runs as `nobody`, in no other
group. All others stay root, since their files are often below folders of root's alone, but have no capabilities and
cannot get any by a setuid program; if the Python environment or the state directory is below a folder of another
user's, they keep `CAP_DAC_OVERRIDE`. Where `nobody` cannot reach PostgreSQL's program, as in an environment below
`/root`, it is copied once to `{postgres_server.SHARED_CACHE}`.

No process of a stack writes core dumps, nor does `bdemo run`: they would hold passwords.
"""


def metrics_page() -> str:
    rows = []
    for value in vars(metrics).values():
        if isinstance(value, MetricWrapperBase):
            family = next(iter(value.describe()))
            suffix = "_total" if family.type == "counter" else ""
            labels = ", ".join(f"`{label}`" for label in value._labelnames)
            rows.append([f"`{family.name}{suffix}`", family.type, labels, family.documentation])
    ports = [
        [f"`{name}`", str(Settings.model_fields[f"{name}_stats_port"].default)]
        for name, service in SERVICES.items()
        if service.ours
    ]
    return f"""# Metrics

Every service serves `/metrics` on a port of its own, on 127.0.0.1; a second copy of it 100 higher (`processing-2` on
7103), a third 200, and so on. Names without `bdemo_` are the original's.

Only GET and HEAD are answered, for localhost and the hosts of `stats_allowed_hosts`. Of {CONNECTIONS_MAX} open
connections the oldest gives way to a new one, and none lasts longer than {CONNECTION_S:.0f} s.

{table(["service", "port"], ports)}
{table(["metric", "type", "labels", "meaning"], rows)}"""


def errors_page() -> str:
    from backend_demo.cli.schemas import file_name, json_schemas

    rows = sorted(
        [str(error.exit_code), f"`{error.code}`", (inspect.getdoc(error) or "").splitlines()[0]]
        for error in vars(errors).values()
        if inspect.isclass(error) and issubclass(error, errors.BdemoError) and error is not errors.BdemoError
    )
    rows.sort(key=lambda row: int(row[0]))
    reasons = ", ".join(f"`{reason}`" for reason in get_args(Reason))
    schemas = ", ".join(f"[{name}](schemas/{file_name(name)})" for name in json_schemas())
    return f"""# Errors, exit codes and JSON

0 is success, 1 a bug, 130 an interrupt (Ctrl-C), 143 a SIGTERM. An error is one line `error:` and one line `hint:` on
stderr.

With `-o json` an error is one line of JSON on stdout, with the same exit code, also when the command
line itself is wrong:

```json
{{"error": {{"code": "no_stack", "message": "no stack runs in /tmp/none", "hint": "start it with: bdemo up"}}}}
```

A command that fails and has a result all the same, such as `bdemo verify`, prints the result with the key `error` in
it. So stdout is always one document; of a stream, the error is the last line.

## JSON

The documents of `-o json` name their type in the field `schema`, such as `bdemo.verify/1`. Fields may be added to a
type; when a field goes or gets another meaning, the number goes up. The lines of a stream (`bdemo logs`,
`bdemo tail`) have no field `schema`, to stay short. The JSON Schemas: {schemas}.

## Exit codes

{table(["exit code", "error", "when"], rows)}
## Reasons of dead letters

What cannot be used goes to the topic `dead-letter` as it came; the headers say `stage`, `reason`, `detail`,
`origin-topic`, `origin-partition` and `origin-offset`. The reasons: {reasons}.
"""


def kafka() -> str:
    def names(found: Iterable[str]) -> str:
        return ", ".join(f"`{name}`" for name in found)

    topics = [
        [f"`{topic.name}`", str(topic.partitions), names(f"{key}={value}" for key, value in topic.config.items())]
        for topic in TOPICS.values()
    ]
    users = [
        [f"`{each.kafka_user}`", names(rights.reads), names(rights.writes), f"`{each.name}`" if rights.group else ""]
        for each in SERVICES.values()
        if (rights := each.kafka_rights)
    ]
    return f"""# Kafka

## Topics

{table(["topic", "partitions", "settings"], topics)}
## Users

The Kafka of both stacks asks for a user (SCRAM-SHA-512), and its authorizer denies what it does not allow. Each service
has a user of its own:

{table(["user", "reads", "writes", "consumer group"], users)}
Two more are for people and their tools. `{KAFKA_READER}` reads every topic, as any consumer group, and writes nothing:
`bdemo env` prints its password. `{KAFKA_ADMIN}` may do everything, and is what Kafka itself uses: `bdemo env --admin`.
To a user of your own, give rights as the administrator; `bdemo up` leaves those alone.

`bdemo up` repairs users and rights. Data of a Kafka from before there were users are taken over; only those of
[three brokers](../how-to/containers.md#three-brokers-or-another-mqtt-broker) cannot be, and are refused.
"""


def commands() -> str:
    import typer

    from backend_demo.cli.main import app

    root = typer.main.get_command(app)
    return "# Commands\n\n" + "\n".join(_command(path, command) for path, command in _walk(["bdemo"], root))


def _walk(path: list[str], command: Any) -> list[tuple[list[str], Any]]:
    children = getattr(command, "commands", {})
    if not children:
        return [(path, command)]
    return [found for name, child in children.items() for found in _walk([*path, name], child)]


def _command(path: list[str], command: Any) -> str:
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    prose, _, examples = text.partition("Examples:")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        if not parameter.opts[0].startswith("-"):
            names = f"`{parameter.name.upper()}`"
        rows.append([names, getattr(parameter, "help", "") or ""])
    shown = "\n".join(lines)
    example_block = f"\n```console\n{shown}\n```\n" if lines else ""
    return f"## `{' '.join(path)}`\n\n{prose.strip()}\n{example_block}\n{table(['option', 'meaning'], rows)}"


PAGES = {"settings": settings, "kafka": kafka, "metrics": metrics_page, "errors": errors_page, "commands": commands}


def pages() -> dict[Path, str]:
    """Every reference page and JSON Schema, by its file."""
    from backend_demo.cli.schemas import file_name, json_schemas

    schemas = {
        SCHEMAS / file_name(name): json.dumps(schema, indent=2) + "\n" for name, schema in json_schemas().items()
    }
    return {**{REFERENCE / f"{name}.md": NOTICE + page() for name, page in PAGES.items()}, **schemas}


if __name__ == "__main__":
    SCHEMAS.mkdir(parents=True, exist_ok=True)
    for path, text in pages().items():
        path.write_text(text)
