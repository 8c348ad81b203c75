"""What the users of the stack's own Kafka may do, as its authorizer has it: all that is not allowed is denied."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from backend_demo.stack.services.service import Service
from backend_demo.stack.state.secrets import KAFKA_READER

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

# as Kafka's protocol numbers them
_ANY, _TOPIC, _GROUP = 1, 2, 3
_READ, _WRITE = 3, 4
_LITERAL, _ALLOW, _ANY_HOST = 3, 3, "*"
_PRINCIPAL = "User:"

#: The name that means every topic, or every group.
EVERY = "*"

Operation = Literal["read", "write"]
_OPERATIONS: dict[Operation, int] = {"read": _READ, "write": _WRITE}


class Right(NamedTuple):
    """A user may do this with that topic, or read as that consumer group; to describe it is part of both."""

    user: str
    operation: Operation
    kind: Literal["topic", "group"]
    name: str


def wanted(services: Iterable[Service], group_prefix: str) -> set[Right]:
    """The rights of all users but the administrator, who may do everything."""
    found = {Right(KAFKA_READER, "read", "topic", EVERY), Right(KAFKA_READER, "read", "group", EVERY)}
    for service in services:
        if rights := service.kafka_rights:
            user = service.kafka_user
            found |= {Right(user, "read", "topic", topic) for topic in rights.reads}
            found |= {Right(user, "write", "topic", topic) for topic in rights.writes}
            if rights.group:
                found.add(Right(user, "read", "group", f"{group_prefix}{service.name}"))
    return found


async def grant(admin: AIOKafkaAdminClient, rights: Collection[Right]) -> None:
    """Gives these rights to their users, and takes all others from them. Raises KafkaError.

    What its owner has allowed to other users is left alone.
    """
    from aiokafka.protocol.admin import CreateAclsRequest_v1, DeleteAclsRequest, DescribeAclsRequest
    from aiokafka.protocol.api import Request

    class CreateAcls(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
        """aiokafka's own makes one at a time, and each takes Kafka 35 ms."""

        API_KEY = CreateAclsRequest_v1.API_KEY

        def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
            return request_struct_class(missing)

    ours = {f"{_PRINCIPAL}{right.user}" for right in rights}
    acls = {as_acl(right) for right in rights}
    answer = await admin._send_request(DescribeAclsRequest(_ANY, None, _ANY, None, None, _ANY, _ANY))
    _check([(answer.error_code, answer.error_message)])
    found = {
        (kind, name, pattern, *acl)
        for kind, name, pattern, acls_there in answer.resources
        for acl in acls_there
        if acl[0] in ours
    }
    missing = sorted(acls - found)
    if missing:
        made = await admin._send_request(CreateAcls())
        _check(made.creation_responses)
    for acl in sorted(found - acls):
        deleted = await admin._send_request(DeleteAclsRequest(*acl))
        _check(deleted.filter_responses)


def _check(answers: Iterable[tuple[Any, ...]]) -> None:
    from aiokafka.errors import for_code

    for code, message, *_ in answers:
        if code:
            raise for_code(code)(message)


def as_acl(right: Right) -> tuple[int, str, int, str, str, int, int]:
    """The right as Kafka has it: kind, name, pattern, principal, host, operation and permission."""
    kind = _TOPIC if right.kind == "topic" else _GROUP
    operation = _OPERATIONS[right.operation]
    return kind, right.name, _LITERAL, f"{_PRINCIPAL}{right.user}", _ANY_HOST, operation, _ALLOW
