"""Access control, by a request's Host header, token, method and origin."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Collection, Iterable, Sequence
from hmac import compare_digest
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend_demo.gateway import problems
from backend_demo.gateway.edge import exposure
from backend_demo.gateway.edge.logins import ISSUE, REDEEM, Logins

if TYPE_CHECKING:
    from backend_demo.settings import Settings

#: Methods that change nothing.
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")

#: Paths served without a token: health, the API's documentation, the console's page, which holds no data, the login.
OPEN = ("/", "/healthz", "/readyz", "/docs", "/redoc", "/openapi.json", REDEEM)
OPEN_FOLDERS = ("/docs/assets/", "/console/")

#: Paths where the MQTT users count, and no token: readings by HTTP, and MQTT over WebSocket.
READINGS, MQTT = "/v1/readings", "/mqtt"

#: The gateway's WebSocket subprotocol. Pages offer it together with `bearer.TOKEN`, since they cannot set headers.
SUBPROTOCOL = "bdemo"
_TOKEN_SUBPROTOCOL = "bearer."  # noqa: S105 - a name, no secret

_HOST = re.compile(rb"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?", re.IGNORECASE)

_WHO = 'Bearer realm="bdemo"'


class Access:
    """Middleware that refuses requests without access. It reads only the head, in a few microseconds."""

    def __init__(self, app: ASGIApp, settings: Settings, logins: Logins) -> None:
        self._app = app
        self._hosts = Hosts(settings)
        self._tokens = [_digest(token.encode()) for token in settings.gateway_tokens]
        self._network_tokens = [_digest(token.encode()) for token in settings.network_tokens]
        self._network = bool(settings.listen)
        self._logins = logins
        self._origins = frozenset(origin.encode() for origin in settings.gateway_cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
        elif kind == "websocket" and SUBPROTOCOL in scope["subprotocols"]:
            await self._app(scope, receive, _choosing(send))
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return problems.problem(
                400, "foreign_host", "the Host header does not name this gateway; see gateway_allowed_hosts"
            )
        safe = scope["type"] == "http" and scope["method"] in SAFE
        if publishes(scope):
            return None if self._is_own(scope) else _cross_origin()
        # TLS is spoken at `listen` only, where a token is always needed
        tokens = self._network_tokens if self._network and scope["scheme"] in ("https", "wss") else self._tokens
        if tokens and not (safe and is_open(scope["path"])):
            given = token_of(scope)
            if given is None and self._logins.knows(scope):
                tokens = []  # from here on as where nobody is asked for one
            elif given is None:
                return _unauthorized("this gateway requires a token: Authorization: Bearer TOKEN", _WHO)
            elif not _knows(tokens, given):
                return _unauthorized("invalid token", f'{_WHO}, error="invalid_token"')
        if not safe:
            return self._unsafe(scope, tokens)
        return None

    def _unsafe(self, scope: Scope, tokens: Sequence[bytes]) -> Response | None:
        """Refuses what a foreign page must not do on behalf of its visitor."""
        if scope["type"] == "websocket":
            if self._is_own(scope):
                return None
        elif scope["path"] == ISSUE and same_origin(scope):
            # without a token, its cookie would stand for one that nobody has shown
            return None if tokens else problems.problem(403, "no_login", "no token is needed here")
        elif tokens:
            return problems.problem(403, "read_only", "tokens are read-only")
        elif same_origin(scope):
            return None
        return _cross_origin()

    def _is_own(self, scope: Scope) -> bool:
        """Whether no foreign page asks. Pages of `gateway_cors_origins` may open WebSockets, but never write."""
        return same_origin(scope) or (scope["type"] == "websocket" and _origin(scope) in self._origins)


class Hosts:
    """The host names of the gateway: a page must not reach it under a name of its own (DNS rebinding)."""

    def __init__(self, settings: Settings) -> None:
        bound = settings.gateway_host
        names = {"localhost", "127.0.0.1", "[::1]", f"[{bound}]" if ":" in bound else bound}
        if settings.listen:
            names.add(f"[{settings.listen}]" if ":" in settings.listen else settings.listen)
        self._names = {name.lower().encode() for name in (*names, *settings.gateway_allowed_hosts)}
        #: the usual spellings, found without parsing
        self._usual = {b"%s%s" % (name, port) for name in self._names for port in (b"", b":%d" % settings.gateway_port)}
        # a browser cannot be tricked into using an address that is not the gateway's
        self._addresses = not exposure.is_private(settings)

    def __contains__(self, host: bytes) -> bool:
        if host in self._usual:
            return True
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower()
        return name in self._names or (self._addresses and _is_address(name))


def _knows(tokens: Sequence[bytes], given: bytes) -> bool:
    # all tokens are compared, as digests of one length: the time does not reveal what matched
    digest, known = _digest(given), False
    for token in tokens:
        known |= compare_digest(digest, token)
    return known


def is_open(path: str) -> bool:
    """Whether a path is served without a token."""
    return path in OPEN or path.startswith(OPEN_FOLDERS)


def publishes(scope: Scope) -> bool:
    """Whether an MQTT user asks, whose password and rights are checked later."""
    if scope["type"] == "websocket":
        return bool(scope["path"] == MQTT)
    return bool(scope["path"] == READINGS and scope["method"] == "POST")


def same_origin(scope: Scope) -> bool:
    """Whether the gateway's own page asks, or no page at all: only browsers send an origin or a site."""
    site = _header(scope, b"sec-fetch-site")
    if site not in (None, b"same-origin", b"none"):
        return False
    origin = _origin(scope)
    # without the scheme, which differs behind a proxy that terminates TLS
    return origin is None or origin.partition(b"://")[2] == _header(scope, b"host")


def token_of(scope: Scope) -> bytes | None:
    """The token of a request, from its header or from a WebSocket subprotocol."""
    scheme, _, given = (_header(scope, b"authorization") or b"").partition(b" ")
    if scheme.lower() == b"bearer" and given.strip():
        return given.strip()
    return _offered(scope.get("subprotocols", ()))


def _offered(subprotocols: Iterable[str]) -> bytes | None:
    for subprotocol in subprotocols:
        if subprotocol.startswith(_TOKEN_SUBPROTOCOL):
            return subprotocol.removeprefix(_TOKEN_SUBPROTOCOL).encode()
    return None


def _choosing(send: Send) -> Send:
    """Selects our subprotocol: a browser closes a connection if none of those it offered is selected."""

    async def choosing(message: Message) -> None:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message = {**message, "subprotocol": SUBPROTOCOL}
        await send(message)

    return choosing


def _cross_origin() -> Response:
    return problems.problem(403, "cross_origin", "the request comes from a page of another origin")


def _unauthorized(detail: str, challenge: str) -> Response:
    return problems.problem(401, "unauthorized", detail, {"WWW-Authenticate": challenge})


def _origin(scope: Scope) -> bytes | None:
    return _header(scope, b"origin")


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    headers: Collection[tuple[bytes, bytes]] = scope["headers"]
    return next((value for name, value in headers if name == wanted), None)


def _is_address(name: bytes) -> bool:
    try:
        ipaddress.ip_address(name.decode("ascii").strip("[]"))
    except ValueError:  # UnicodeDecodeError is one
        return False
    return True


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
