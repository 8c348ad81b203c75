"""The loader: from the topics processed-data and aggregated-data to the tables."""

from backend_demo.domain.topics import AGGREGATED_DATA, DEAD_LETTER, PROCESSED_DATA, SENSOR_NAMES
from backend_demo.stack.services.ours import our_service
from backend_demo.stack.services.service import KafkaRights

LOADER = our_service(
    "loader",
    about="stores readings and averages in PostgreSQL",
    entry_point="backend_demo.stages.loader",
    needs=("kafka", "postgres"),
    job="load",  # the original's
    stats_variable="LOAD_STATS_HOST_PORT",
    kafka_rights=KafkaRights(group=True, reads=(PROCESSED_DATA, AGGREGATED_DATA, SENSOR_NAMES), writes=(DEAD_LETTER,)),
    postgres_user="bdemo_loader",
)
