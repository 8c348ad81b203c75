"""The poller: asks devices and services that do not send by themselves. It runs when there is a `[[poll]]`."""

from backend_demo.domain.topics import DEAD_LETTER, SENSOR_DATA
from backend_demo.stack.services.ours import our_service
from backend_demo.stack.services.service import KafkaRights

POLL = our_service(
    "poll",
    about="asks devices by HTTP and takes their answers to the topic sensor-data",
    entry_point="backend_demo.stages.poll",
    owns_input=False,
    needs=("kafka",),
    asked_for=lambda settings: bool(settings["poll"]),
    single="each device is asked by a single process",
    stats_variable="POLL_STATS_HOST_PORT",
    kafka_rights=KafkaRights(writes=(SENSOR_DATA, DEAD_LETTER)),
)
