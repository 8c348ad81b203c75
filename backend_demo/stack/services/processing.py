"""The processing: from the topic src-data to processed-data."""

from backend_demo.stack.services.ours import our_service

PROCESSING = our_service(
    "processing",
    about="passes plausible readings on: src-data to processed-data",
    entry_point="backend_demo.stages.processing",
    needs=("kafka",),
    stats_variable="PROCESSING_STATS_HOST_PORT",
)
