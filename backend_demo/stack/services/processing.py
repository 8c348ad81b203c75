"""The processing: from the topic src-data to processed-data."""

from backend_demo.domain.topics import DEAD_LETTER, PROCESSED_DATA, SRC_DATA
from backend_demo.stack.services.ours import our_service
from backend_demo.stack.services.service import KafkaRights

PROCESSING = our_service(
    "processing",
    about="passes plausible readings on: src-data to processed-data",
    entry_point="backend_demo.stages.processing",
    needs=("kafka",),
    stats_variable="PROCESSING_STATS_HOST_PORT",
    kafka_rights=KafkaRights(group=True, reads=(SRC_DATA,), writes=(PROCESSED_DATA, DEAD_LETTER)),
)
