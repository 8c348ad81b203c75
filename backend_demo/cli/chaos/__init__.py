"""`bdemo chaos`: breaks the running stack on purpose."""

from __future__ import annotations

from backend_demo.cli.chaos import fault, ls, run
from backend_demo.cli.help import App

app = App(help="Break the running stack on purpose, and see it recover.", no_args_is_help=True)
app.command("run")(run.run)
app.command("ls")(ls.ls)
app.command("kill")(fault.kill)
app.command("pause")(fault.pause)
app.command("restart")(fault.restart)
