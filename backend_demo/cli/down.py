"""`bdemo down`."""

from __future__ import annotations

from typing import Annotated

import typer

from backend_demo.cli import options
from backend_demo.cli.output import say


def down(
    state_dir: options.StateDir = None,
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete the stack's data as well.")] = False,
) -> None:
    """Stop the stack; its data stays.

    Fine when nothing runs. Also ends what a killed stack left behind.

    \b
    Examples:
      $ bdemo down
      $ bdemo down --wipe
    """
    from rich.markup import escape

    from backend_demo.stack.open import stack_in

    folder = options.state_directory(state_dir)
    existed = folder.exists()
    ran = stack_in(folder).down(wipe=wipe)
    say("the stack is down" if ran else f"nothing ran in {escape(str(folder))}")
    if wipe and existed:
        say("its data is deleted")
