"""pgAdmin: a look into the database, as a container of the profile `tools`."""

from __future__ import annotations

from typing import Any

from backend_demo.stack.services.container import HARDENED, SECRETS, http_health, page
from backend_demo.stack.services.service import Port, Service, Variable

PORT = Port(variable="PGADMIN_HOST_PORT", number=5050)

_EMAIL = Variable("PGADMIN_EMAIL", "admin@example.com")


def _container() -> dict[str, Any]:
    return {
        "<<": HARDENED,
        "image": f"dpage/pgadmin4:{PGADMIN.variables[0]}",
        "environment": {
            "PGADMIN_DEFAULT_EMAIL": str(_EMAIL),
            "PGADMIN_DEFAULT_PASSWORD_FILE": f"{SECRETS}/pgadmin_password",
            "PGADMIN_LISTEN_PORT": PORT.number,
            "PGADMIN_DISABLE_POSTFIX": "true",
            "PGADMIN_CUSTOM_CONFIG_DISTRO_FILE": "/tmp/config_distro.py",  # noqa: S108 - in the container
            "PGADMIN_SERVER_JSON_FILE": "/servers.json",
        },
        "volumes": ["pgadmin-data:/var/lib/pgadmin", "./pgadmin/servers.json:/servers.json:ro"],
        "tmpfs": ["/tmp:size=64m", "/var/log/pgadmin:size=16m,uid=5050"],  # noqa: S108 - in the container
        "mem_limit": "768m",
        "stop_grace_period": "15s",
        "healthcheck": http_health(f"http://127.0.0.1:{PORT.number}/misc/ping", interval="15s"),
    }


PGADMIN = Service(
    name="pgadmin",
    about="shows the database",
    needs=("postgres",),
    listens=(PORT,),
    single="its data belong to a single process",
    users=("pgadmin",),
    addresses=page("pgadmin", PORT),
    container=_container,
    secret_files=lambda settings, passwords: {"pgadmin_password": passwords["pgadmin"]},
    image_user=True,
    variables=(Variable("PGADMIN_VERSION", "9.16"), _EMAIL),
)
