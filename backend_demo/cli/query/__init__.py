"""`bdemo query`: readings, averages and sensors, through the gateway; anything else in SQL."""

from __future__ import annotations

from backend_demo.cli.help import App
from backend_demo.cli.query import gateway, sql

app = App(help="Ask for readings, averages and sensors, or in SQL.", no_args_is_help=True)
app.command("latest")(gateway.latest)
app.command("sensors")(gateway.sensors)
app.command("range")(gateway.range_)
app.command("average")(gateway.average)
app.command("sql")(sql.sql)
