"""Writes the reference pages from the code: `python docs/generate.py`; a test compares them.

Each page is a pure function of what it describes.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_args

from prometheus_client.metrics import MetricWrapperBase

from backend_demo import errors, metrics
from backend_demo.domain.reading import Reason
from backend_demo.domain.topics import TOPICS
from backend_demo.settings import CONFIG_FILE, ENV_PREFIX, ORIGINAL_NAMES, SECRETS, SECRETS_DIR, Settings
from backend_demo.stack.services import SERVICES

REFERENCE = Path(__file__).parent / "reference"
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
    return f"""# Settings

From strongest to weakest: a flag of the command, `{ENV_PREFIX}` and the name in capitals in the environment,
a container's secret files ({secrets} in `{SECRETS_DIR}`), `{CONFIG_FILE}` in the
working directory or above it, the original's names (environment or `.env`), the default.
An unknown name is an error.

{table(["setting", "default", "bounds", "meaning"], rows)}"""


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

{table(["service", "port"], ports)}
{table(["metric", "type", "labels", "meaning"], rows)}"""


def errors_page() -> str:
    rows = sorted(
        [str(error.exit_code), f"`{error.code}`", (inspect.getdoc(error) or "").splitlines()[0]]
        for error in vars(errors).values()
        if inspect.isclass(error) and issubclass(error, errors.BdemoError) and error is not errors.BdemoError
    )
    rows.sort(key=lambda row: int(row[0]))
    reasons = ", ".join(f"`{reason}`" for reason in get_args(Reason))
    topics = [
        [f"`{topic.name}`", str(topic.partitions), ", ".join(f"`{key}={value}`" for key, value in topic.config.items())]
        for topic in TOPICS.values()
    ]
    return f"""# Exit codes and reasons

0 is success, 1 a bug, 130 an interrupt (Ctrl-C), 143 a SIGTERM. An error is one line `error:` and one line `hint:` on
stderr.

{table(["exit code", "error", "when"], rows)}
## Reasons of dead letters

What cannot be used goes to the topic `dead-letter` as it came; the headers say `stage`, `reason`, `detail`,
`origin-topic`, `origin-partition` and `origin-offset`. The reasons: {reasons}.

## Kafka topics

{table(["topic", "partitions", "settings"], topics)}"""


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


PAGES = {"settings": settings, "metrics": metrics_page, "errors": errors_page, "commands": commands}


def pages() -> dict[Path, str]:
    """Every reference page, by its file."""
    return {REFERENCE / f"{name}.md": NOTICE + page() for name, page in PAGES.items()}


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text)
