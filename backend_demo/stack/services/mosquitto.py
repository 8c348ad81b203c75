"""The profile `mosquitto`: eclipse-mosquitto and the bridge in the place of the proxy.

It promises less: what mosquitto has acknowledged may be lost when it is killed (docs/how-to/containers.md).
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backend_demo.stack.services.bridge import BRIDGE
from backend_demo.stack.services.container import HARDENED, SECRETS, Note, data_volume, health
from backend_demo.stack.services.service import Addresses, Passwords, Port, Profile, Service, Variable

if TYPE_CHECKING:
    from backend_demo.settings import Settings

VERSION = Variable("MOSQUITTO_VERSION", "2.0.22")

CONFIGURATION = """\
listener {port}
allow_anonymous false
password_file /run/secrets/passwords
acl_file /run/secrets/acl
max_packet_size {max_payload}
max_inflight_messages {in_flight}
# for a bridge that is away: messages beyond either limit are dropped
max_queued_messages 1000000
max_queued_bytes 268435456
persistence true
persistence_location /mosquitto/data/
# every so many changes; what it has acknowledged since then is lost when it is killed
autosave_on_changes true
autosave_interval 200
log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages false
"""

ACL = """\
user sensor
topic write sensors/#
topic write /#
user bridge
topic read #
user observer
topic read #
topic read $SYS/#
"""

USERS = ("sensor", "bridge", "observer")

#: Largest payload that it takes: above what the bridge takes (`max_payload_bytes`, at most 64 KiB), so that the bridge
#: can refuse a payload and keep a record of it.
MAX_PAYLOAD_BYTES = 256 * 1024

#: Beside the proxy's.
_PORT = Port(variable="MQTT_BROKER_HOST_PORT", number=1884)


def _secret_files(settings: Settings, passwords: Passwords) -> dict[str, str]:
    return {
        "mosquitto.conf": CONFIGURATION.format(
            port=_PORT.number, max_payload=MAX_PAYLOAD_BYTES, in_flight=settings.bridge_in_flight
        ),
        "passwords": "".join(f"{user}:{hashed(passwords[user])}\n" for user in USERS),
        "acl": ACL,
        # options of its health check
        "mosquitto_sub": f"-u observer\n-P {passwords['observer']}\n",
    }


def hashed(password: str) -> str:
    """A password as mosquitto's password file holds it; a random one needs few rounds."""
    rounds, salt = 101, os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _container() -> dict[str, Any]:
    return {
        "<<": HARDENED,
        "image": f"eclipse-mosquitto:{VERSION}",
        "user": "10001:10001",
        "command": ["/usr/sbin/mosquitto", "-c", f"{SECRETS}/mosquitto.conf"],
        "environment": {"XDG_CONFIG_HOME": Note("where mosquitto_sub finds its user and password", SECRETS)},
        "volumes": [data_volume("mosquitto-data", "/mosquitto/data")],
        "tmpfs": [
            "/tmp:size=16m",  # noqa: S108 - in the container
            Note("a volume of the image that nobody uses", "/mosquitto/log:size=1m"),
        ],
        "mem_limit": "512m",
        "stop_grace_period": "15s",
        "healthcheck": health(
            [
                *("CMD", "mosquitto_sub", "-p", str(_PORT.number)),
                *("-t", "$$SYS/broker/version", "-C", "1", "-W", "3"),
            ]
        ),
    }


def _addressed(settings: Addresses, ports: Mapping[str, int]) -> dict[str, Any]:
    return {"mqtt_port": ports[_PORT.variable]}


BROKER = Service(
    name="mosquitto",
    about="is an MQTT broker of somebody else's, from which the bridge takes messages",
    listens=(_PORT,),
    single="its data belong to a single process",
    container=_container,
    secret_files=_secret_files,
    variables=(VERSION,),
)

MOSQUITTO = Profile(
    "mosquitto",
    services=(BROKER, BRIDGE),
    addressed=_addressed,
    settings={"mqtt_source": "bridge"},
)
