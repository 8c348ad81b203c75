"""Who may ask what: by the name that a request calls us, its token, its method, and the page that it comes from."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Collection, Iterable
from hmac import compare_digest
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend_demo.gateway import exposure, problems

if TYPE_CHECKING:
    from backend_demo.settings import Settings

#: They change nothing.
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")

#: What is told without a token: whether we live, what our routes are, and the console's page, which holds no data.
OPEN = ("/", "/healthz", "/readyz", "/docs", "/redoc", "/openapi.json")
OPEN_FOLDERS = ("/docs/assets/", "/console/")

#: The subprotocol that we speak; a page offers it and `bearer.TOKEN`, as browsers let it set no header.
SUBPROTOCOL = "bdemo"
_TOKEN_SUBPROTOCOL = "bearer."

_HOST = re.compile(rb"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?", re.IGNORECASE)

_WHO = 'Bearer realm="bdemo"'


class Access:
    """An application that only those reach who may. It looks at the request's head alone, in a few microseconds."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = Hosts(settings)
        self._tokens = [_digest(token.encode()) for token in settings.gateway_tokens]
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
        if self._tokens and not (safe and is_open(scope["path"])):
            given = token_of(scope)
            if given is None:
                return _unauthorized("this gateway wants a token: Authorization: Bearer TOKEN", _WHO)
            if not self._knows(given):
                return _unauthorized("it does not know this token", f'{_WHO}, error="invalid_token"')
        if not safe:
            return self._unsafe(scope)
        return None

    def _unsafe(self, scope: Scope) -> Response | None:
        """What a foreign page must not do in the name of whoever looks at it."""
        if scope["type"] == "websocket":
            if same_origin(scope) or _origin(scope) in self._origins:
                return None
        elif self._tokens:
            return problems.problem(403, "read_only", "a token reads; it does not write")
        elif same_origin(scope):
            return None
        return problems.problem(403, "cross_origin", "a page of another origin asks this")

    def _knows(self, given: bytes) -> bool:
        # each is compared, and digests have one length: the time tells neither which one nor how much of it was right
        digest, known = _digest(given), False
        for token in self._tokens:
            known |= compare_digest(digest, token)
        return known


class Hosts:
    """The names by which we are called: a page must not reach us under one of its own (DNS rebinding)."""

    def __init__(self, settings: Settings) -> None:
        bound = settings.gateway_host
        names = {"localhost", "127.0.0.1", "[::1]", f"[{bound}]" if ":" in bound else bound}
        self._names = {name.lower().encode() for name in (*names, *settings.gateway_allowed_hosts)}
        #: as they mostly come
        self._usual = {b"%s%s" % (name, port) for name in self._names for port in (b"", b":%d" % settings.gateway_port)}
        # nobody can bring a browser to call us by an address that is not ours
        self._addresses = not exposure.is_private(settings)

    def __contains__(self, host: bytes) -> bool:
        if host in self._usual:
            return True
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower()
        return name in self._names or (self._addresses and _is_address(name))


def is_open(path: str) -> bool:
    """Whether it is told without a token."""
    return path in OPEN or path.startswith(OPEN_FOLDERS)


def same_origin(scope: Scope) -> bool:
    """Whether a page of ours asks, or no page at all: what is no browser tells neither an origin nor a site."""
    site = _header(scope, b"sec-fetch-site")
    if site not in (None, b"same-origin", b"none"):
        return False
    origin = _origin(scope)
    # without the scheme, which is another one behind a proxy that speaks TLS for us
    return origin is None or origin.partition(b"://")[2] == _header(scope, b"host")


def token_of(scope: Scope) -> bytes | None:
    """The token that a request shows, in a header or as a subprotocol of a WebSocket."""
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
    """A browser ends a connection on which none of the subprotocols that it offers is chosen."""

    async def choosing(message: Message) -> None:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message = {**message, "subprotocol": SUBPROTOCOL}
        await send(message)

    return choosing


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
