"""`bdemo scale`."""

from __future__ import annotations

from typing import Annotated

import typer

from backend_demo.cli import options


def scale(
    copies: Annotated[list[str], typer.Argument(metavar="SERVICE=COPIES...", help="How many copies are to run.")],
    state_dir: options.StateDir = None,
) -> None:
    """Change how many copies of a service run.

    Collection, processing, aggregation and loader can have up to eight, one a partition. Readings that are on their way
    are neither lost nor counted twice. Copies are called processing-2, processing-3, and stay until `bdemo down`.

    \b
    Examples:
      $ bdemo scale processing=3
      $ bdemo scale processing=1 aggregation=2
    """
    from backend_demo.cli.output import say
    from backend_demo.cli.progress import Progress
    from backend_demo.stack.open import stack_in

    wanted = options.copies(copies)
    with Progress() as progress:
        stack_in(options.state_directory(state_dir)).scale(wanted, progress.report)
    here = options.same_stack(state_dir)
    if progress.changed:
        say(f"[green]scaled[/]: {', '.join(f'{service} {count}' for service, count in wanted.items())}")
        say(f"See them with: [bold]bdemo status{here}[/]")
    else:
        say("[green]so many copies were running already[/]")
