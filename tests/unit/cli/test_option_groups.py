"""Options of a command that stand in a dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer
import typer.main

from backend_demo.cli.option_groups import grouped


@dataclass(frozen=True)
class Size:
    """Two options."""

    width: Annotated[int, typer.Option("--width", "-w", help="How wide.")] = 80
    height: Annotated[int | None, typer.Option("--height", help="How high.")] = None


def run(*words: str) -> tuple[Any, ...]:
    """What a command gets from this command line."""
    got: list[Any] = []
    app = typer.Typer(add_completion=False)

    @app.command()
    @grouped
    def draw(
        name: Annotated[str, typer.Argument(help="What to draw.")],
        size: Size = Size(),
        fast: Annotated[bool, typer.Option("--fast", help="In a hurry.")] = False,
    ) -> None:
        """Draw it."""
        got.extend((name, size, fast))

    command = typer.main.get_command(app)
    assert command.help == "Draw it."
    assert [parameter.name for parameter in command.params] == ["name", "width", "height", "fast"]
    command(list(words), standalone_mode=False)
    return tuple(got)


def test_a_group_has_the_defaults_of_its_fields() -> None:
    assert run("cat") == ("cat", Size(), False)


def test_a_group_has_the_options_that_were_given() -> None:
    assert run("cat", "-w", "3", "--fast", "--height", "4") == ("cat", Size(3, 4), True)
