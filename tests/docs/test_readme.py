"""README and the other pages: their commands exist, their links lead somewhere, their example runs."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from backend_demo.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if path.name != "CHANGELOG.md")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("number", "does"), [(0, "bdemo demo"), (1, "nox")])
def test_the_first_blocks_are_one_command_each(number: int, does: str) -> None:
    (line,) = blocks(ROOT / "README.md", "console")[number].splitlines()
    assert line.endswith(f".uv/bin/uv run {does}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_one_that_bdemo_takes(page: Path) -> None:
    text = "".join(blocks(page, "console"))
    calls = re.findall(r"\bbdemo ((?:'[^']*'|[^'|;&()#\n])*)", text)
    for call in calls:
        command: Any = typer.main.get_command(app)
        arguments = shlex.split(call)
        context = command.make_context("bdemo", list(arguments))
        while hasattr(command, "commands"):
            name, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
            context = command.make_context(name, list(arguments), parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_faust_example_runs() -> None:
    """Up to its first record, which needs a Kafka."""
    (code,) = blocks(ROOT / "docs" / "faust-batch.md", "python")
    assert "batch.ack()" in code
    names: dict[str, Any] = {"__name__": "example"}
    exec(
        compile(
            code.replace('producer = BatchProducer("127.0.0.1:9092", client_id="uppercase")\n', ""), "example", "exec"
        ),
        names,
    )
    assert names["uppercase"].channel.get_topic_name() == "words"
