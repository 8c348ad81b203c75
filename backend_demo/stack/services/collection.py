"""The collection: from the topic sensor-data to src-data."""

from backend_demo.domain.topics import DEAD_LETTER, SENSOR_DATA, SENSOR_NAMES, SRC_DATA
from backend_demo.stack.services.ours import our_service
from backend_demo.stack.services.service import KafkaRights

COLLECTION = our_service(
    "collection",
    about="makes readings of messages: sensor-data to src-data",
    entry_point="backend_demo.stages.collection",
    needs=("kafka",),
    stats_variable="COLLECTION_STATS_HOST_PORT",
    kafka_rights=KafkaRights(group=True, reads=(SENSOR_DATA,), writes=(SRC_DATA, SENSOR_NAMES, DEAD_LETTER)),
)
