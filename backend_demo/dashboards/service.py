"""The dashboard of each service: what it does at a glance, what it moves, then what every service has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend_demo.dashboards import common, gateway, poll, stages
from backend_demo.dashboards.panel import Dashboard, Panel, PanelRow
from backend_demo.dashboards.promql import Of
from backend_demo.stack.services.table import SERVICES

Panels = Callable[[Of], tuple[Panel, ...]]
Rows = Callable[[Of], tuple[PanelRow, ...]]


@dataclass(frozen=True)
class ServicePanels:
    """What the dashboard of a service shows of it alone: at a glance (four values), and in its own rows."""

    service: str
    glance: Panels
    rows: Rows


def uid(service: str) -> str:
    """Returns the uid of the service's dashboard, which links use."""
    return f"bdemo-{service}"


VIEWS = (
    ServicePanels("mqtt", stages.door_glance, stages.mqtt),
    ServicePanels("bridge", stages.door_glance, stages.bridge),
    ServicePanels("poll", poll.glance, poll.rows),
    ServicePanels("collection", stages.stage_glance, stages.collection),
    ServicePanels("processing", stages.stage_glance, stages.processing),
    ServicePanels("aggregation", stages.stage_glance, stages.aggregation),
    ServicePanels("loader", stages.loader_glance, stages.loader),
    ServicePanels("gateway", gateway.glance, gateway.rows),
)


def dashboard(view: ServicePanels) -> Dashboard:
    """Returns the dashboard of a service."""
    service, of = view.service, Of(view.service, instances=True)
    return Dashboard(
        file=f"service-{service}",
        uid=uid(service),
        title=f"Service: {service}",
        description=f"The {service} {SERVICES[service].about}.",
        service=service,
        rows=(
            PanelRow((common.copies_ready(of), common.restarted(of), *view.glance(of)), height=4),
            *view.rows(of),
            PanelRow(common.resources(of, "instance"), heading="What does it cost, and is it stable?"),
            PanelRow((common.ready(of).wide(14), common.versions(of)), height=6),
        ),
    )


DASHBOARDS = tuple(dashboard(view) for view in VIEWS)
