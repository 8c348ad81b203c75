"""`bdemo query`."""

import typer

app = typer.Typer(help="To be written.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """To be written."""
