"""`bdemo dlq`: what was refused, and what becomes of it."""

from __future__ import annotations

from backend_demo.cli.dlq import export, ls, purge, replay, show
from backend_demo.cli.help import App
from backend_demo.cli.option_groups import grouped

app = App(help="List, replay, export and delete dead letters: what the pipeline has refused.", no_args_is_help=True)
app.command("ls")(grouped(ls.ls))
app.command("show")(show.show)
app.command("replay")(grouped(replay.replay))
app.command("export")(grouped(export.export))
app.command("purge")(grouped(purge.purge))
