"""The aggregation: from the topic processed-data to aggregated-data."""

from backend_demo.stack.services.ours import our_service

AGGREGATION = our_service(
    "aggregation",
    about="averages readings: processed-data to aggregated-data",
    entry_point="backend_demo.stages.aggregation",
    needs=("kafka",),
    stats_variable="AGGREGATION_STATS_HOST_PORT",
)
