"""The aggregation: from the topic processed-data to aggregated-data."""

from backend_demo.domain.topics import AGGREGATED_DATA, AGGREGATION_STATE, DEAD_LETTER, PROCESSED_DATA
from backend_demo.stack.services.ours import our_service
from backend_demo.stack.services.service import KafkaRights

AGGREGATION = our_service(
    "aggregation",
    about="averages readings: processed-data to aggregated-data",
    entry_point="backend_demo.stages.aggregation",
    needs=("kafka",),
    stats_variable="AGGREGATION_STATS_HOST_PORT",
    kafka_rights=KafkaRights(
        group=True,
        reads=(PROCESSED_DATA, AGGREGATION_STATE),
        writes=(AGGREGATED_DATA, AGGREGATION_STATE, DEAD_LETTER),
    ),
)
