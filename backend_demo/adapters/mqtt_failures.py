"""Why an MQTT broker cannot be used, and which setting to change: paho keeps most of it to itself."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from backend_demo.adapters.mqtt import Broker, tls_context
from backend_demo.errors import ServiceFailed

#: Time for each step of finding out, seconds.
STEP_S = 3.0
#: Time for a server to say that it wants a certificate of the client, seconds.
CERTIFICATE_ALERT_S = 0.5

#: Return codes that waiting does not change, of MQTT 3.1.1 and 5: bad user name or password, not authorized.
REFUSED = (4, 5, 134, 135)

#: CONNECT of MQTT 3.1.1 without a user: a broker answers, if only to refuse it.
_CONNECT = b"\x10\x17\x00\x04MQTT\x04\x02\x00\x0a\x00\x0bbdemo-probe"
_CONNACK = 0x20

#: Verification errors of OpenSSL: expired, not yet valid, of another host name, of another IP address.
_EXPIRED, _NOT_YET, _OTHER_NAMES = 10, 9, (62, 64)
#: Parts of OpenSSL's reasons when what came is not TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "EOF")
#: Parts of OpenSSL's reasons by which a server says that it wants a certificate, or another one.
_CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED")


def refused(broker: Broker, reason: object) -> ServiceFailed:
    """The error for a broker that does not accept the user."""
    user = f"user {broker.username!r}" if broker.username else "a client without a user name"
    return ServiceFailed(
        f"the MQTT broker at {broker} refuses {user}: {str(reason).lower()}",
        hint="check BDEMO_MQTT_USERNAME and BDEMO_MQTT_PASSWORD; bdemo env prints those of the stack",
    )


def unusable(broker: Broker, problem: Exception | None = None) -> ServiceFailed:
    """Why a connection failed or was closed; takes up to ten seconds.

    `problem`: what paho said of it, if it did. Where that does not tell the reason, a connection is made to find it.
    """
    if not _is_clear(problem):
        problem = _try(broker) or ConnectionAbortedError()
    if isinstance(problem, ssl.SSLCertVerificationError):
        return _untrusted(broker, problem)
    if isinstance(problem, ssl.SSLError):
        reason = str(problem.reason or problem)
        if any(part in reason for part in _CERTIFICATE_ALERTS):
            return _wants_certificate(broker, _words(reason))
        if not isinstance(problem, ssl.SSLEOFError) and not any(part in reason for part in _NO_TLS):
            return ServiceFailed(
                f"TLS with the MQTT broker at {broker} fails: {_words(reason)}", hint="see the broker's log"
            )
        problem = _NoTls()
    if isinstance(problem, _NoTls) or "handshake" in str(problem):
        return ServiceFailed(
            f"what listens at {broker} does not speak TLS",
            hint="set BDEMO_MQTT_PORT to the broker's TLS port (often 8883), or BDEMO_MQTT_TLS=false",
        )
    if isinstance(problem, _SpeaksTls):
        return ServiceFailed(
            f"what listens at {broker} speaks TLS only",
            hint="set BDEMO_MQTT_TLS=true, or write mqtts:// before the address",
        )
    if isinstance(problem, _Silent):
        return ServiceFailed(f"what listens at {broker} does not answer as an MQTT broker", hint="check the port")
    if isinstance(problem, ConnectionAbortedError):
        return ServiceFailed(f"the MQTT broker at {broker} closed the connection", hint="see the broker's log")
    assert problem is not None  # noqa: S101 - narrows a type
    return unreachable(broker, problem)


def _is_clear(problem: Exception | None) -> bool:
    """Whether an exception alone tells what is wrong."""
    if isinstance(problem, TimeoutError):
        return "timed out" in str(problem)  # the system's: the other end did not answer at all, or not with TLS
    return isinstance(problem, ssl.SSLError | socket.gaierror | ConnectionRefusedError)


def _words(reason: str) -> str:
    return reason.lower().replace("_", " ")


def unreachable(broker: Broker, problem: Exception) -> ServiceFailed:
    """The error for a broker that does not answer."""
    reason = (getattr(problem, "strerror", None) or str(problem)).lower()
    return ServiceFailed(
        f"cannot reach an MQTT broker at {broker}: {reason}",
        hint="see: bdemo status; for a broker of your own set BDEMO_MQTT_HOST and BDEMO_MQTT_PORT",
    )


def _untrusted(broker: Broker, problem: ssl.SSLCertVerificationError) -> ServiceFailed:
    """The error for a broker whose certificate is not good."""
    code = problem.verify_code
    if code == _EXPIRED:
        what, hint = "has expired", "renew it at the broker; if it is new, check the clock of this machine"
    elif code == _NOT_YET:
        what, hint = "is not valid yet", "check the clocks of the broker and of this machine"
    elif code in _OTHER_NAMES:
        what = f"is not for {broker.host}"
        hint = "set BDEMO_MQTT_HOST to a name in the certificate, or get a certificate for this name"
    else:
        what = f"is of no trusted authority ({problem.verify_message})"
        given = f", not {broker.ca_file}" if broker.ca_file else ""
        hint = f"set BDEMO_MQTT_CA_FILE to the certificate of the broker's authority{given}"
    return ServiceFailed(f"the certificate of the MQTT broker at {broker} {what}", hint=hint)


def _wants_certificate(broker: Broker, reason: str) -> ServiceFailed:
    """The error for a broker that refuses our certificate, or that we have none."""
    if broker.client_cert is None:
        return ServiceFailed(
            f"the MQTT broker at {broker} asks for a client certificate ({reason})",
            hint="set BDEMO_MQTT_CLIENT_CERT and BDEMO_MQTT_CLIENT_KEY",
        )
    return ServiceFailed(
        f"the MQTT broker at {broker} refuses the certificate {broker.client_cert} ({reason})",
        hint="set BDEMO_MQTT_CLIENT_CERT and BDEMO_MQTT_CLIENT_KEY to one of an authority that the broker trusts",
    )


class _NoTls(OSError):
    """It was asked for TLS, and answers something else or nothing."""


class _Silent(OSError):
    """It accepts connections, and does not answer as a broker does."""


class _SpeaksTls(OSError):
    """It answers with TLS, and was asked without."""


def _try(broker: Broker) -> Exception | None:
    """What goes wrong with a connection to the broker until it answers; None: nothing."""
    try:
        with socket.create_connection((broker.host, broker.port), STEP_S) as plain:
            if not broker.tls:
                _ask(plain)
                return None
            try:
                secure = tls_context(broker).wrap_socket(plain, server_hostname=broker.host)
            except (ConnectionError, TimeoutError) as problem:
                raise _NoTls from problem
            with secure:
                _ask(secure)
    except _Silent as problem:
        return _SpeaksTls() if not broker.tls and _speaks_tls(broker) else problem
    except OSError as problem:
        return problem
    return None


def _ask(connection: socket.socket) -> None:
    """Returns when the other end has answered as a broker. Raises OSError, of which _Silent is one."""
    if isinstance(connection, ssl.SSLSocket):
        # a server that wants a certificate says so first, and what it said is lost when it gets more
        connection.settimeout(CERTIFICATE_ALERT_S)
        with suppress(TimeoutError):
            connection.recv(1)
        connection.settimeout(STEP_S)
    try:
        connection.sendall(_CONNECT)
        answer = connection.recv(1)
    except (ConnectionError, TimeoutError, ssl.SSLEOFError) as problem:
        raise _Silent from problem
    if not answer or answer[0] != _CONNACK:
        raise _Silent


def _speaks_tls(broker: Broker) -> bool:
    """Whether a TLS server listens there, whatever its certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with suppress(OSError), socket.create_connection((broker.host, broker.port), STEP_S) as plain:
        try:
            context.wrap_socket(plain, server_hostname=broker.host).close()
        except ssl.SSLError as problem:
            return any(part in (problem.reason or "") for part in _CERTIFICATE_ALERTS)
        return True
    return False
