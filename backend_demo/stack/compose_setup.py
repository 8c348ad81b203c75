"""The one-shots among the containers: passwords and configuration before the servers start, topics and tables after.

Run in the image, by compose.yaml, with the tasks to do as arguments. A folder below /secrets is a volume that one
service sees as /run/secrets, so each reads what it needs and no more. Passwords are made once and stay.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog

from backend_demo import settings as settings_module
from backend_demo.errors import BdemoError, ServiceFailed, UnknownName
from backend_demo.log import failed, set_up
from backend_demo.settings import SECRETS_DIR, Settings
from backend_demo.stack.state import USERS, write_private

log = structlog.get_logger("backend_demo.stack.compose_setup")  # it is run as __main__

FOLDER = Path("/secrets")

MQTT_USERS = ("sensor", "bridge", "observer")

#: Who has a password besides the users of an embedded stack.
MORE_USERS = ("grafana", "pgadmin")

#: Read by a user of the image itself, not by ours; nobody else sees that volume.
OTHER_USERS = ("postgres/", "grafana/", "pgadmin/")

POSTGRES, POSTGRES_PORT = "postgres", 5432

CONNECT_LIMIT_S = 20.0

MOSQUITTO = """\
listener 1883
allow_anonymous false
password_file /run/secrets/passwords
acl_file /run/secrets/acl
max_packet_size {max_payload}
max_inflight_messages {in_flight}
# for a bridge that is away: what comes when either is reached is dropped
max_queued_messages 1000000
max_queued_bytes 268435456
persistence true
persistence_location /mosquitto/data/
# after so many changes; what it acknowledged since then is lost when it is killed
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


def make_files(settings: Settings) -> None:
    """Writes every password, and every file that a service or a server reads."""
    passwords = passwords_in(FOLDER / "setup" / "secrets.json")
    for name, text in files(settings, passwords).items():
        write_private(FOLDER / name, text)
        if name.startswith(OTHER_USERS):
            (FOLDER / name).chmod(0o444)


def files(settings: Settings, passwords: Mapping[str, str]) -> dict[str, str]:
    """What is in each file, by its path below /secrets."""
    from backend_demo.stack.servers import mqtt, postgres

    nats = mqtt.configuration(
        passwords,
        host="0.0.0.0",
        nats_port=settings.nats_port,
        mqtt_port=settings.mqtt_port,
        monitoring="127.0.0.1:8222",
        store="/data",
        in_flight=settings.bridge_in_flight,
    )
    mosquitto = MOSQUITTO.format(max_payload=mqtt.MAX_PAYLOAD_BYTES, in_flight=settings.bridge_in_flight)
    return {
        "mqtt/nats.conf": nats,
        "mqtt/mosquitto.conf": mosquitto,
        "mqtt/passwords": "".join(f"{user}:{mosquitto_hash(passwords[user])}\n" for user in MQTT_USERS),
        "mqtt/acl": ACL,
        # options of mosquitto's health check
        "mqtt/mosquitto_sub": f"-u observer\n-P {passwords['observer']}\n",
        "postgres/postgres_password": passwords["postgres"],
        "migrate/bdemo_postgres_dsn": dsn("bdemo", passwords),
        "migrate/postgres.json": json.dumps({user: passwords[user] for user in postgres.USERS}),
        "migrate/bdemo_mqtt_password": passwords["observer"],
        "migrate/mqtt_admin_password": passwords["mqtt_admin"],
        "bridge/bdemo_mqtt_password": passwords["bridge"],
        "loader/bdemo_postgres_dsn": dsn("bdemo", passwords),
        "gateway/bdemo_postgres_dsn": dsn("bdemo_reader", passwords),
        "gateway/bdemo_mqtt_password": passwords["sensor"],
        "simulator/bdemo_mqtt_password": passwords["sensor"],
        "grafana/grafana_password": passwords["grafana"],
        "pgadmin/pgadmin_password": passwords["pgadmin"],
    }


def passwords_in(file: Path) -> dict[str, str]:
    """The passwords in a file; those that it lacks are made, and added to it."""
    found = json.loads(file.read_text()) if file.exists() else {}
    passwords = {user: str(found.get(user) or secrets.token_urlsafe(18)) for user in (*USERS, *MORE_USERS)}
    if passwords != found:
        write_private(file, json.dumps(passwords))
    return passwords


def dsn(user: str, passwords: Mapping[str, str]) -> str:
    """Where a service finds the database, and how it gets in."""
    return f"postgresql://{user}:{quote(passwords[user], safe='')}@{POSTGRES}:{POSTGRES_PORT}/temperature"


def mosquitto_hash(password: str) -> str:
    """A password as a password file of mosquitto has it; a random one needs few rounds."""
    rounds, salt = 101, os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def make_topics(settings: Settings) -> None:
    """Makes the topics that are missing. Raises ServiceFailed."""
    from backend_demo.stack.servers.kafka import create_topics

    create_topics(settings.kafka_bootstrap, replication=settings.topic_replication)


def migrate_tables(settings: Settings) -> None:
    """Makes roles and database; brings the tables to this version. Raises ServiceFailed, ConfigurationInvalid."""
    from backend_demo.stack.servers.postgres import provision_at
    from backend_demo.storage.migrate import upgrade

    provision_at(POSTGRES, POSTGRES_PORT, json.loads((SECRETS_DIR / "postgres.json").read_text()))
    upgrade(settings.postgres_dsn)


def cap_nats(settings: Settings) -> None:
    """Limits the store of NATS, which makes it when its first client connects. Raises ServiceFailed."""
    from backend_demo.stack.servers import mqtt

    connect_once(settings)
    mqtt.cap(settings.mqtt_host, settings.nats_port, (SECRETS_DIR / "mqtt_admin_password").read_text())


def connect_once(settings: Settings) -> None:
    """Connects to the MQTT broker, and leaves. Raises ServiceFailed."""
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    connected = threading.Event()

    def on_connect(client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not reason.is_failure:
            connected.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bdemo-setup")
    client.username_pw_set(settings.mqtt_username, settings.mqtt_password)
    client.on_connect = on_connect
    client.connect_async(settings.mqtt_host, settings.mqtt_port)
    client.loop_start()
    accepted = connected.wait(CONNECT_LIMIT_S)
    client.disconnect()
    client.loop_stop()
    if not accepted:
        raise ServiceFailed("the MQTT broker takes no connection", hint="see: bdemo logs mqtt")


TASKS: dict[str, Callable[[Settings], None]] = {
    "files": make_files,
    "topics": make_topics,
    "tables": migrate_tables,
    "nats": cap_nats,
}


def main() -> None:
    """Does the tasks that are named, in that order."""
    set_up("info")
    try:
        settings = settings_module.load()
        set_up(settings.log_level, form=settings.log_format)
        for name in sys.argv[1:]:
            if name not in TASKS:
                raise UnknownName("task", name, TASKS)
            TASKS[name](settings)
            log.info("done", task=name)
    except BdemoError as problem:
        sys.exit(failed(problem))


if __name__ == "__main__":
    main()
