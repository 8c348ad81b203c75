"""The original's dashboard: its eight panels under their titles, with rates and quantiles, for any number of copies."""

from __future__ import annotations

from backend_demo import metrics
from backend_demo.dashboards import panel
from backend_demo.dashboards.panel import Dashboard, Panel, PanelRow, Query, heatmap, more_is_worse, quantiles
from backend_demo.dashboards.promql import Metric, Of, per_minute

FOLLOWS = "Readings a minute, over all copies of the service."


def _values(title: str, service: str, counted: dict[str, Metric], description: str) -> Panel:
    of = Of(service)
    queries = tuple(Query(per_minute(of(metric)), legend) for legend, metric in counted.items())
    return Panel("lines", title, panel.A_MINUTE, queries, description)


def _stage(title: str, service: str, does: str, done: Metric) -> Panel:
    return _values(
        title,
        service,
        {
            "sensor values received": metrics.values_received,
            f"sensor values {does}": done,
            "sensor values sent": metrics.values_sent,
        },
        f"{FOLLOWS} The lines lie on one another while every reading that comes in goes on.",
    )


LOADER, GATEWAY = Of("loader"), Of("gateway")

ORIGINAL = Dashboard(
    file="faust-microservices",
    uid="Yz3ABTInz",
    title="Faust Microservices Dashboard",
    description="The dashboard of backend-infrastructure-demo: what each service counts, how long a reading takes.",
    rows=(
        PanelRow(
            height=9,
            panels=(
                _stage(
                    "data_collection: Number of Values per Min", "collection", "collected", metrics.values_collected
                ),
                _stage(
                    "data_processing: Number of Values per Min", "processing", "processed", metrics.values_processed
                ),
            ),
        ),
        PanelRow(
            height=9,
            panels=(
                _stage(
                    "data_aggregation: Number of Values per Min",
                    "aggregation",
                    "aggregated",
                    metrics.values_aggregated,
                ),
                _values(
                    "db_loader: Number of Values per Min",
                    "loader",
                    {
                        "sensor values loaded into db": metrics.values_loaded,
                        "aggregated values loaded into db": metrics.averages_loaded,
                    },
                    f"{FOLLOWS} Late readings change averages that are there already, so there may be more of these.",
                ),
            ),
        ),
        PanelRow(
            height=9,
            panels=(
                quantiles(
                    "db_loader: Latency of Sensor Value Processing",
                    "From the sensor's time to the committed row: 50 %, 95 % and 99 % of readings took less.",
                    LOADER,
                    metrics.end_to_end,
                    thresholds=more_is_worse(1, 10),
                    table="temperature",
                ),
            ),
        ),
        PanelRow(
            height=9,
            panels=(
                quantiles(
                    "db_loader: Latency of Sensor Value Processing + Aggregation",
                    "From the sensor's time to the committed average: 50 %, 95 % and 99 % took less.",
                    LOADER,
                    metrics.end_to_end,
                    thresholds=more_is_worse(1, 10),
                    table="average",
                ),
            ),
        ),
        PanelRow(
            height=9,
            panels=(
                Panel(
                    "lines",
                    "api_gateway: Number of REST API Requests",
                    panel.REQUESTS_A_MINUTE,
                    tuple(
                        Query(per_minute(GATEWAY(metric)), f"{what} requests")
                        for what, metric in (
                            ("sensor value", metrics.range_requests),
                            ("aggregated value", metrics.average_requests),
                            ("latest value", metrics.latest_requests),
                        )
                    ),
                    "Requests a minute for readings, averages and newest readings.",
                ),
                heatmap(
                    "api_gateway: Age of Requested Latest Values",
                    "Age of the newest reading when it was requested: the darker, the more requests.",
                    GATEWAY,
                    metrics.requested_age,
                    route="/temperature_latest",
                ),
            ),
        ),
    ),
)
