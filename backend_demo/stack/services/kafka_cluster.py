"""The profile `cluster`: three Kafka brokers, any of which may be lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from backend_demo.stack.services import kafka_container, kafka_ui, round_trip
from backend_demo.stack.services.container import Alias, Anchor, Override, default, environment
from backend_demo.stack.services.kafka import KAFKA
from backend_demo.stack.services.service import Addresses, Port, Profile, Service, Variable, Yaml

#: Brokers beside the first one, with their ports on the host.
_OTHERS = {
    "kafka-2": Port(variable="KAFKA_2_HOST_PORT", number=9094),
    "kafka-3": Port(variable="KAFKA_3_HOST_PORT", number=9095),
}

_ALL = (KAFKA.name, *_OTHERS)

_REPLICATION = 3

#: Both brokers of a partition's majority have a record before it is acknowledged.
_SETTINGS: Mapping[str, str | int] = {
    "default.replication.factor": _REPLICATION,
    "min.insync.replicas": 2,
    "offsets.topic.replication.factor": _REPLICATION,
    "transaction.state.log.replication.factor": _REPLICATION,
    "transaction.state.log.min.isr": 2,
    "share.coordinator.state.topic.replication.factor": _REPLICATION,
    "share.coordinator.state.topic.min.isr": 2,
}


def _broker(number: int) -> dict[str, Any]:
    return {
        "environment": {"<<": Alias("broker"), **kafka_container.as_environment({"broker.rack": f"rack-{number}"})},
        "volumes": [f"kafka-{number}-data:/var/lib/kafka/data"],
    }


def _other_broker(number: int, name: str) -> dict[str, Any]:
    port = Variable(_OTHERS[name].variable, str(_OTHERS[name].number))
    common = _broker(number)
    own = kafka_container.as_environment(
        {"node.id": number, "advertised.listeners": kafka_container.advertised(name, port)}
    )
    return {
        "extends": {"file": "compose.yaml", "service": KAFKA.name},
        "hostname": name,
        **common,
        "environment": {**common["environment"], **own},
        "ports": Override([f"127.0.0.1:{port}:{default('kafka_port')}"]),
    }


def _overlay(table: Mapping[str, Service]) -> Yaml:
    voters = ",".join(f"{number}@{name}:{default('kafka_controller_port')}" for number, name in enumerate(_ALL, 1))
    brokers = kafka_container.inside(*_ALL)
    client = environment({"kafka_bootstrap": brokers})
    return {
        "x-broker": Anchor("broker", kafka_container.as_environment({"controller.quorum.voters": voters, **_SETTINGS})),
        "x-client": Anchor("client", {"environment": client}),
        "services": {
            KAFKA.name: _broker(1),
            **{name: _other_broker(number, name) for number, name in enumerate(_OTHERS, 2)},
            KAFKA.before_name: {
                "command": kafka_container.before_command(*range(1, len(_ALL) + 1)),
                "volumes": [
                    f"kafka-{number}-data:{kafka_container.VOLUMES}/{number}" for number in range(1, len(_ALL) + 1)
                ],
            },
            "migrate": {
                "environment": {**client, **environment({"topic_replication": str(_REPLICATION)})},
                "depends_on": {name: {"condition": "service_healthy"} for name in _OTHERS},
            },
            **{name: Alias("client") for name, each in table.items() if each.ours and KAFKA.name in each.needs},
            kafka_ui.KAFKA_UI.name: {"environment": {kafka_ui.BROKERS: brokers}},
        },
        "volumes": dict.fromkeys(f"kafka-{number}-data" for number in range(1, len(_ALL) + 1)),
    }


def _addressed(settings: Addresses, ports: Mapping[str, int]) -> dict[str, Any]:
    others = (f"{round_trip.HOST}:{ports[port.variable]}" for port in _OTHERS.values())
    return {"kafka_bootstrap": ",".join((settings["kafka_bootstrap"], *others))}


CLUSTER = Profile(
    "cluster",
    own_data=True,
    addressed=_addressed,
    services=(
        replace(KAFKA, needs=tuple(_OTHERS)),  # what needs Kafka needs all its brokers
        *(
            Service(name=name, about="is another broker", single=KAFKA.single, listens=(port,))
            for name, port in _OTHERS.items()
        ),
    ),
    overlay=_overlay,
    header="Three brokers, any of which may be lost. Each partition has three copies, one per rack; a record is\n"
    "acknowledged when two have it. Their data are apart from those of a single broker, which cannot join them.",
)
