"""`bdemo secrets`: the passwords that the stack has made for itself."""

from __future__ import annotations

from backend_demo.cli.help import App
from backend_demo.cli.secrets import ls, rotate, show

app = App(help="List, show and replace the passwords of the stack.", no_args_is_help=True)
app.command("ls")(ls.ls)
app.command("show")(show.show)
app.command("rotate")(rotate.rotate)
