"""`bdemo mqtt`: who may connect over MQTT."""

from __future__ import annotations

from backend_demo.cli.help import App
from backend_demo.cli.mqtt import user_add, user_ls, user_rm

user = App(help="Add, list and remove MQTT users, at once and without a restart.", no_args_is_help=True)
user.command("add")(user_add.add)
user.command("ls")(user_ls.ls)
user.command("rm")(user_rm.rm)

app = App(help="Give devices their MQTT users.", no_args_is_help=True)
app.add_typer(user, name="user")
