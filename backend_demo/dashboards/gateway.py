"""What the gateway's dashboard shows."""

from __future__ import annotations

from backend_demo import metrics
from backend_demo.dashboards import common, panel
from backend_demo.dashboards.panel import Panel, PanelRow, Query, heatmap, more_is_worse, quantiles
from backend_demo.dashboards.promql import Of, name_of, quantile, rate, total


def _requests(of: Of, *by: str, **labels: str) -> str:
    return rate(of(f"{name_of(metrics.request_seconds)}_count", **labels), *by)


def glance(of: Of) -> tuple[Panel, ...]:
    failed = f"({_requests(of, status='~5..')} or vector(0)) / ({_requests(of)} > 0)"
    return (
        Panel(
            "stat",
            "Requests",
            panel.REQUESTS,
            (Query(_requests(of), "requests"),),
            "Requests a second, over all routes.",
        ),
        Panel(
            "stat",
            "Per request, p99",
            panel.SECONDS,
            (Query(quantile(0.99, of, metrics.request_seconds), "p99"),),
            "From a request until its response was sent: 99 % took less.",
            thresholds=common.LATENCY_LIMITS,
            when_empty="idle",
        ),
        Panel(
            "stat",
            "Server errors",
            panel.SHARE,
            (Query(failed, "failed"),),
            "Share of requests that were answered with 5xx.",
            thresholds=more_is_worse(0.001, 0.01),
            decimals=1,
            when_empty="idle",
        ),
        Panel(
            "stat",
            "Open streams",
            panel.COUNT,
            (Query(total(of(metrics.streams)), "streams"),),
            "Responses that are being streamed now.",
            decimals=0,
        ),
    )


def requests_by_route(of: Of) -> Panel:
    return Panel(
        "lines",
        "Requests by route and status",
        panel.REQUESTS,
        (Query(_requests(of, "route", "status"), "{{route}} {{status}}"),),
        "Requests per second. 5xx is an error of the server, 4xx of the client; 503 while PostgreSQL is down.",
    )


def request_seconds_by_route(of: Of) -> Panel:
    return Panel(
        "lines",
        "Seconds per request: p99",
        panel.SECONDS,
        (Query(quantile(0.99, of, metrics.request_seconds, "route"), "{{route}}"),),
        "From a request until its response was sent, by route. A stream counts when it ends.",
    )


def age_by_route(of: Of) -> Panel:
    return Panel(
        "lines",
        "Age of requested values: p50",
        panel.SECONDS,
        (Query(quantile(0.5, of, metrics.requested_age, "route"), "{{route}}"),),
        "Median age of the newest value in a response.",
    )


def rows(of: Of) -> tuple[PanelRow, ...]:
    original = common.counted(
        of,
        panel.REQUESTS,
        "Requests for values",
        "Requests for readings, for averages and for the newest reading, on the original's routes.",
        readings=metrics.range_requests,
        averages=metrics.average_requests,
        newest=metrics.latest_requests,
    )
    streams = Panel(
        "lines",
        "Open streams",
        panel.COUNT,
        (Query(total(of(metrics.streams), "instance"), "{{instance}}"),),
        "Responses that are being streamed.",
    )
    return (
        PanelRow((requests_by_route(of), original, streams), heading="Which requests come in?"),
        PanelRow(
            (
                quantiles(
                    "Seconds per request: quantiles",
                    "From a request until its response was sent: 50 %, 95 % and 99 % took less.",
                    of,
                    metrics.request_seconds,
                ),
                heatmap(
                    "Seconds per request: all",
                    "The same for every request: the darker, the more requests took that long.",
                    of,
                    metrics.request_seconds,
                ),
                request_seconds_by_route(of),
            ),
            heading="How fast?",
        ),
        PanelRow(
            (
                age_by_route(of),
                heatmap(
                    "Age of requested values: all",
                    "Age of the newest value in each response: the darker, the more responses.",
                    of,
                    metrics.requested_age,
                ),
            ),
            heading="How fresh?",
        ),
    )
