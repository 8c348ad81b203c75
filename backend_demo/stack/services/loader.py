"""The loader: from the topics processed-data and aggregated-data to the tables."""

from backend_demo.stack.services.ours import our_service

LOADER = our_service(
    "loader",
    about="stores readings and averages in PostgreSQL",
    entry_point="backend_demo.stages.loader",
    needs=("kafka", "postgres"),
    job="load",  # the original's
    stats_variable="LOAD_STATS_HOST_PORT",
    postgres_user="bdemo",
)
