"""Why Kafka does not take a client: what aiokafka hides behind `Unable to bootstrap`, found by asking again."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import replace

from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from backend_demo.adapters.kafka import Brokers
from backend_demo.errors import ServiceFailed
from backend_demo.text import host_and_port

#: Time for asking all servers, and for one answer, seconds.
LIMIT_S, ANSWER_S = 8.0, 4.0
#: Pause before a Kafka that is away is asked again, seconds.
AGAIN_S = 1.0

#: ApiVersions in version 0, which Kafka answers to everybody.
_REQUEST = struct.pack(">ihhih", 10, 18, 0, 7, -1)
_CORRELATION = struct.pack(">i", 7)

_HOST_NAME = "use a name or an address in BDEMO_KAFKA_BOOTSTRAP that the certificate holds"
_AUTHORITY = "set BDEMO_KAFKA_CA_FILE to the certificate of its authority"
_WITH_USER = "set BDEMO_KAFKA_SECURITY_PROTOCOL to {}, with BDEMO_KAFKA_USERNAME and BDEMO_KAFKA_PASSWORD"
_PROTOCOL = "set BDEMO_KAFKA_SECURITY_PROTOCOL to {}"


KafkaRefusal = tuple[str, str]
"""The end of the sentence `Kafka at ...`, and a hint."""


async def until_taken(brokers: Brokers) -> None:
    """Returns when Kafka takes this client; waits while it is away. Raises ServiceFailed, ConfigurationInvalid."""
    while True:
        found = await _look(brokers)
        if isinstance(found, ServiceFailed):
            raise found
        if found:
            return
        await asyncio.sleep(AGAIN_S)


async def unreachable(brokers: Brokers) -> ServiceFailed:
    """The error for brokers to which no client could connect: why they refuse it, or that they are away."""
    return await refusal(brokers) or ServiceFailed(
        f"cannot reach Kafka at {brokers}", hint="is it running? see: bdemo status"
    )


async def refusal(brokers: Brokers) -> ServiceFailed | None:
    """Why a server does not take this client, if that will not pass by itself. Raises ConfigurationInvalid."""
    found = await _look(brokers)
    return found if isinstance(found, ServiceFailed) else None


async def _look(brokers: Brokers) -> ServiceFailed | bool:
    """The first refusal; else whether a server takes this client: False while none answers."""
    taken = False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LIMIT_S):
            for server in brokers.bootstrap.split(","):
                found = await _answer(replace(brokers, bootstrap=server))
                if isinstance(found, tuple):
                    reason, hint = found
                    return ServiceFailed(f"Kafka at {server} {reason}", hint=hint)
                taken = taken or found
    return taken


async def _answer(server: Brokers) -> KafkaRefusal | bool:
    """The refusal of one server, or whether it takes this client."""
    try:
        if not await _answers(server, server.context):
            return await _other_transport(server)
        return await _user_refused(server) if server.sasl else await _user_wanted(server)
    except ssl.SSLCertVerificationError as problem:
        hint = _HOST_NAME if "mismatch" in problem.verify_message else _AUTHORITY
        return f"has a certificate that cannot be used: {problem.verify_message.rstrip('.')}", hint
    except ssl.SSLError as problem:
        if "CERTIFICATE" not in (problem.reason or "") and "UNKNOWN_CA" not in (problem.reason or ""):
            return await _other_transport(server)
        if server.client_cert is None:
            return "asks for a client certificate", "set BDEMO_KAFKA_CLIENT_CERT and BDEMO_KAFKA_CLIENT_KEY"
        return (
            f"does not take the client certificate {server.client_cert}",
            "BDEMO_KAFKA_CLIENT_CERT must be signed by an authority that this Kafka trusts",
        )
    except (ConnectionResetError, EOFError):
        return await _other_transport(server)
    except (OSError, KafkaError):  # it is away
        return False


@contextlib.asynccontextmanager
async def _connected(
    server: Brokers, context: ssl.SSLContext | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = host_and_port(server.bootstrap)
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _answers(server: Brokers, context: ssl.SSLContext | None) -> bool:
    """Whether it speaks Kafka's protocol on this transport. Raises OSError, EOFError."""
    async with _connected(server, context) as (reader, writer), asyncio.timeout(ANSWER_S):
        writer.write(_REQUEST)
        head = await reader.readexactly(8)
        return head[4:] == _CORRELATION


async def _other_transport(server: Brokers) -> KafkaRefusal | bool:
    """Whether it is the transport that is wrong: the other one must work, since a restart breaks connections too."""
    with contextlib.suppress(OSError, EOFError):
        if server.tls:
            if await _answers(server, None):
                return "does not use TLS", _PROTOCOL.format("SASL_PLAINTEXT" if server.sasl else "PLAINTEXT")
            return False
        whatever = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        whatever.check_hostname, whatever.verify_mode = False, ssl.CERT_NONE
        async with _connected(server, whatever):
            return "asks for TLS", _PROTOCOL.format("SASL_SSL" if server.sasl else "SSL")
    return False


async def _log_in(server: Brokers, mechanism: str) -> None:
    host, port = host_and_port(server.bootstrap)
    connection = await create_conn(
        host,
        port,
        client_id="bdemo-check",
        request_timeout_ms=round(ANSWER_S * 1000),
        ssl_context=server.context,
        security_protocol="SASL_SSL" if server.tls else "SASL_PLAINTEXT",
        sasl_mechanism=mechanism,
        sasl_plain_username=server.username,
        sasl_plain_password=server.password,
    )
    connection.close()


async def _user_refused(server: Brokers) -> KafkaRefusal | bool:
    try:
        await _log_in(server, server.mechanism)
    except SaslAuthenticationFailed:
        return (
            f"refuses user {server.username!r}, or the password",
            "check BDEMO_KAFKA_USERNAME, BDEMO_KAFKA_PASSWORD and BDEMO_KAFKA_SASL_MECHANISM",
        )
    except UnsupportedSaslMechanismError:
        return f"does not have {server.mechanism}", "choose another BDEMO_KAFKA_SASL_MECHANISM"
    except IllegalSaslStateError:
        return "asks for no user", _PROTOCOL.format("SSL" if server.tls else "PLAINTEXT")
    except ValueError:  # the answer was not computed from the password
        return "does not know the user's password itself", "check BDEMO_KAFKA_BOOTSTRAP: is that your Kafka?"
    return True


async def _user_wanted(server: Brokers) -> KafkaRefusal | bool:
    """Whether it has mechanisms to choose from, which only a listener with SASL says."""
    try:
        await _log_in(server, "NONE")
    except UnsupportedSaslMechanismError:
        return "asks for a user", _WITH_USER.format("SASL_SSL" if server.tls else "SASL_PLAINTEXT")
    except IllegalSaslStateError:
        return True
    return False
