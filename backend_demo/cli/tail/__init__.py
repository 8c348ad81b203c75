"""`bdemo tail`: the data on its way, as Kafka records, as MQTT messages or as events of the gateway."""

from __future__ import annotations

from backend_demo.cli.help import App
from backend_demo.cli.tail import api, mqtt, topic

app = App(help="Watch the data on its way: Kafka records, MQTT messages, the gateway's events.", no_args_is_help=True)
app.command("topic")(topic.topic)
app.command("mqtt")(mqtt.mqtt)
app.command("api")(api.api)
