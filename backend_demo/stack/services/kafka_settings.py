"""Settings of the broker that both of its forms have."""

from __future__ import annotations

from collections.abc import Mapping

from backend_demo.domain.topics import PARTITIONS
from backend_demo.stack.services.kafka_users import MECHANISM
from backend_demo.stack.state.secrets import KAFKA_ADMIN

BROKER_SETTINGS: Mapping[str, str | int] = {
    "num.partitions": PARTITIONS,
    "auto.create.topics.enable": "false",
    # one node: its own topics have one copy each
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 8,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 8,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # after a kill the old session must end before the broker may listen again: 5 s instead of 13
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    "group.initial.rebalance.delay.ms": 0,
    # MQTT payload < batch of our producers (1 MiB) < this
    "message.max.bytes": 2097152,
    # memory of an idle broker
    "log.cleaner.dedupe.buffer.size": 16777216,
    "num.network.threads": 2,
    "num.io.threads": 4,
}

#: Who gets in, and that nobody may do what is not allowed; the administrator may do everything.
ACCESS: Mapping[str, str | int] = {
    "sasl.enabled.mechanisms": MECHANISM,
    "sasl.mechanism.inter.broker.protocol": MECHANISM,
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": f"User:{KAFKA_ADMIN}",
    # most that Kafka reads of somebody who has not logged in, bytes
    "sasl.server.max.receive.size": 16384,
}

#: How a listener with SCRAM is configured; the user and the password by which it logs in itself come after it.
SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required"
