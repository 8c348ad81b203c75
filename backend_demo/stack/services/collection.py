"""The collection: from the topic sensor-data to src-data."""

from backend_demo.stack.services.ours import our_service

COLLECTION = our_service(
    "collection",
    about="makes readings of messages: sensor-data to src-data",
    entry_point="backend_demo.stages.collection",
    needs=("kafka",),
    stats_variable="COLLECTION_STATS_HOST_PORT",
)
