"""Grafana: the dashboards over Prometheus, as a container only."""

from __future__ import annotations

from typing import Any

from backend_demo.stack.services.container import HARDENED, SECRETS, http_health, page
from backend_demo.stack.services.service import Port, Service, Variable

PORT = Port(variable="GRAFANA_HOST_PORT", number=3000)

_ADMIN = Variable("GRAFANA_ADMIN_USER", "admin")


def _container() -> dict[str, Any]:
    return {
        "<<": HARDENED,
        "image": f"grafana/grafana:{GRAFANA.variables[0]}",
        "environment": {
            "GF_SECURITY_ADMIN_USER": str(_ADMIN),
            "GF_SECURITY_ADMIN_PASSWORD__FILE": f"{SECRETS}/grafana_password",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_PLUGINS_PREINSTALL_DISABLED": "true",
            "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": "/etc/grafana/dashboards/pipeline-overview.json",
        },
        "volumes": [
            "grafana-data:/var/lib/grafana",
            "./grafana/provisioning/datasources:/etc/grafana/provisioning/datasources:ro",
            "./grafana/provisioning/dashboards:/etc/grafana/provisioning/dashboards:ro",
            "./grafana/dashboards:/etc/grafana/dashboards:ro",
        ],
        "tmpfs": ["/tmp:size=64m", "/var/log/grafana:size=16m,uid=472"],  # noqa: S108 - in the container
        "mem_limit": "512m",
        "stop_grace_period": "15s",
        "healthcheck": http_health(f"http://127.0.0.1:{PORT.number}/api/health", interval="10s"),
    }


GRAFANA = Service(
    name="grafana",
    about="shows the dashboards",
    needs=("prometheus",),
    listens=(PORT,),
    single="its data belong to a single process",
    users=("grafana",),
    addresses=page("grafana", PORT),
    container=_container,
    secret_files=lambda settings, passwords: {"grafana_password": passwords["grafana"]},
    image_user=True,
    variables=(Variable("GRAFANA_VERSION", "12.1.1"), _ADMIN),
)
