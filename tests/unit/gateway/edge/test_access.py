"""Access control, and the settings without which the gateway does not listen."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from backend_demo.errors import ConfigurationInvalid
from backend_demo.gateway import problems
from backend_demo.gateway.edge import exposure, limits
from backend_demo.gateway.edge.access import READINGS, Access, Hosts, is_open, same_origin, token_of
from backend_demo.gateway.edge.logins import Logins
from backend_demo.settings import Settings

TOKENS = ("a" * 32, "B.c_d~e+f-" * 4)


def settings(**more: Any) -> Settings:
    return Settings(**more)


def access(app: Any, found: Settings) -> Access:
    return Access(app, found, Logins(found))


def ask(app: Any, method: str, path: str, headers: dict[str, str], content: Any = None) -> httpx.Response:
    """One request to an application, without a network."""

    async def asking() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8007") as client:
            return await client.request(method, path, headers=headers, content=content)

    return asyncio.run(asking())


# -- open to the network at `listen`, beside this machine


def test_at_listen_a_token_is_needed_and_on_this_machine_none() -> None:
    async def reached(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("reached")(scope, receive, send)

    app = access(reached, settings(listen="192.0.2.7", network_tokens=TOKENS[:1]))
    bearer = {"Authorization": f"Bearer {TOKENS[0]}"}
    wrong = {"Authorization": f"Bearer {TOKENS[1]}"}

    def status(url: str, headers: dict[str, str], method: str = "GET") -> int:
        async def asking() -> int:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
                return (await client.request(method, url, headers=headers)).status_code

        return asyncio.run(asking())

    assert status("http://127.0.0.1:8007/v1/sensors", {}) == 200
    assert status("https://192.0.2.7:8443/v1/sensors", {}) == 401
    assert status("https://192.0.2.7:8443/v1/sensors", wrong) == 401
    assert status("https://192.0.2.7:8443/v1/sensors", bearer) == 200
    assert status("https://192.0.2.7:8443/v1/traces", bearer, "POST") == 403
    assert status("https://192.0.2.8:8443/v1/sensors", bearer) == 400
    assert status("https://192.0.2.7:8443/healthz", {}) == 200


@pytest.mark.parametrize("more", [{"network_tokens": ()}, {"tls_cert": None}, {"tls_key": None}])
def test_without_a_token_or_tls_it_does_not_open(more: dict[str, Any]) -> None:
    whole = {"network_tokens": TOKENS, "tls_cert": "server.pem", "tls_key": "server.key"}
    with pytest.raises(ConfigurationInvalid, match=r"listen is 192\.0\.2\.7, but"):
        exposure.network_context(settings(listen="192.0.2.7", **{**whole, **more}))
    assert exposure.network_context(settings()) is None


# -- where it may listen


@pytest.mark.parametrize(
    ("host", "tokens", "tls", "plaintext", "published"),
    itertools.product(
        ("127.0.0.1", "127.0.0.2", "::1", "localhost", "0.0.0.0", "::", "192.0.2.1", "gateway"),
        ((), TOKENS),
        (False, True),
        (False, True),
        (False, True),
    ),
)
def test_other_machines_need_a_token_and_tls_unless_plaintext_is_set(
    host: str, tokens: tuple[str, ...], tls: bool, plaintext: bool, published: bool
) -> None:
    files = {"gateway_tls_cert": Path("c"), "gateway_tls_key": Path("k")} if tls else {}
    given = settings(
        gateway_host=host,
        gateway_tokens=tokens,
        gateway_plaintext=plaintext,
        gateway_published_on_loopback=published,
        **files,
    )
    alone = published or host.startswith("127.") or host in ("::1", "localhost")
    if alone or (tokens and (tls or plaintext)):
        exposure.check(given)
        return
    with pytest.raises(ConfigurationInvalid) as refused:
        exposure.check(given)
    wrong = "gateway_tokens" if not tokens else "unencrypted"
    assert wrong in refused.value.message
    assert "gateway_host" in refused.value.message
    assert "BDEMO_GATEWAY_" in refused.value.hint


@pytest.mark.parametrize("file", ["gateway_tls_cert", "gateway_tls_key"])
def test_a_certificate_without_its_key_is_refused_on_loopback_too(file: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="one of gateway_tls_cert and gateway_tls_key"):
        exposure.check(settings(**{file: Path("x")}))


# -- by which name it is called

NAMES = st.sampled_from(["localhost", "127.0.0.1", "[::1]", "example.org", "evil.example", "10.0.0.7", "[fe80::1]", ""])
PORTS = st.sampled_from(["", ":80", ":8007", ":65535", ":", ":x", ":123456"])


@given(
    name=NAMES,
    port=PORTS,
    upper=st.booleans(),
    host=st.sampled_from(["127.0.0.1", "0.0.0.0"]),
    allowed=st.sampled_from([(), ("example.org",)]),
)
def test_names(name: str, port: str, upper: bool, host: str, allowed: tuple[str, ...]) -> None:
    """Known names, with any port; and addresses, if other machines may connect."""
    hosts = Hosts(settings(gateway_host=host, gateway_allowed_hosts=allowed))
    text = (name.upper() if upper else name) + port
    address = name in ("127.0.0.1", "[::1]", "10.0.0.7", "[fe80::1]")
    known = name == "localhost" or name in allowed or (address and (host == "0.0.0.0" or name[:2] in ("12", "[:")))
    assert (text.encode() in hosts) == (known and port in ("", ":80", ":8007", ":65535"))


@pytest.mark.parametrize("host", [b"localhost.evil.example", b"127.0.0.1.evil.example", b"[::2]", b"localhost:8007x"])
def test_names_with_a_known_prefix_are_unknown(host: bytes) -> None:
    assert host not in Hosts(settings())


# -- from which page

OURS = (b"host", b"localhost:8007")


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ([], True),
        ([(b"origin", b"http://localhost:8007")], True),
        ([(b"origin", b"https://localhost:8007")], True),
        ([(b"origin", b"http://localhost:3000")], False),
        ([(b"origin", b"http://evil.example")], False),
        ([(b"origin", b"null")], False),
        ([(b"origin", b"")], False),
        ([(b"sec-fetch-site", b"same-origin")], True),
        ([(b"sec-fetch-site", b"none")], True),
        ([(b"sec-fetch-site", b"same-site")], False),
        ([(b"sec-fetch-site", b"cross-site")], False),
        ([(b"sec-fetch-site", b"cross-site"), (b"origin", b"http://localhost:8007")], False),
    ],
)
def test_origin_of_a_page(headers: list[tuple[bytes, bytes]], ours: bool) -> None:
    assert same_origin({"headers": [OURS, *headers]}) is ours


# -- with which token


@pytest.mark.parametrize(
    ("header", "subprotocols", "token"),
    [
        (b"Bearer abc", [], b"abc"),
        (b"bearer   abc", [], b"abc"),
        (b"Basic abc", [], None),
        (b"Bearer", [], None),
        (b"Bearer ", [], None),
        (b"", [], None),
        (b"", ["bdemo", "bearer.abc"], b"abc"),
        (b"Bearer abc", ["bearer.other"], b"abc"),
    ],
)
def test_where_a_token_is_found(header: bytes, subprotocols: list[str], token: bytes | None) -> None:
    headers = [(b"authorization", header)] if header else []
    assert token_of({"headers": headers, "subprotocols": subprotocols}) == token


@pytest.mark.parametrize("path", ["/", "/healthz", "/docs", "/docs/assets/x.js", "/console/app.js", "/openapi.json"])
def test_open_paths_need_no_token(path: str) -> None:
    assert is_open(path)


@pytest.mark.parametrize("path", ["/v1/latest", "/temperature", "//", "/healthz/", "/consolex", "/docsx", "", "/v1/ws"])
def test_all_other_paths_need_a_token(path: str) -> None:
    assert not is_open(path)


async def _anything(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("reached")(scope, receive, send)


def status(app: Access, method: str = "GET", path: str = "/v1/latest", **headers: str) -> tuple[int, str]:
    response = ask(app, method, path, {name.replace("_", "-"): value for name, value in headers.items()})
    return response.status_code, "" if response.status_code == 200 else response.json()["code"]


def test_tokens_are_read_only() -> None:
    app = access(_anything, settings(gateway_tokens=TOKENS))
    assert status(app) == (401, "unauthorized")
    assert status(app, path="/healthz") == (200, "")
    assert status(app, "POST", path="/healthz") == (401, "unauthorized")
    for token in TOKENS:
        assert status(app, authorization=f"Bearer {token}") == (200, "")
        assert status(app, "HEAD", authorization=f"Bearer {token}") == (200, "")
        assert status(app, "POST", authorization=f"Bearer {token}") == (403, "read_only")
        for wrong in (token[:-1], token + "a", token.swapcase(), f"{token} {token}"):
            assert status(app, authorization=f"Bearer {wrong}") == (401, "unauthorized")
    challenge = ask(app, "GET", "/", {}).headers, ask(app, "GET", "/x", {}).headers["www-authenticate"]
    assert challenge[1] == 'Bearer realm="bdemo"'
    told = ask(app, "GET", "/x", {"authorization": "Bearer x"}).headers["www-authenticate"]
    assert told == 'Bearer realm="bdemo", error="invalid_token"'


def test_without_tokens_foreign_pages_cannot_write() -> None:
    app = access(_anything, settings(gateway_cors_origins=("https://friend.example",)))
    assert status(app, "POST") == (200, "")
    assert status(app, "POST", origin="http://localhost:8007") == (200, "")
    for origin in ("http://evil.example", "https://friend.example"):
        assert status(app, "POST", origin=origin) == (403, "cross_origin")
        assert status(app, "GET", origin=origin) == (200, "")
    assert status(app, "DELETE", sec_fetch_site="cross-site") == (403, "cross_origin")


def test_only_an_mqtt_user_publishes_and_no_foreign_page() -> None:
    """Whether the user may is for the route to say; a token of the gateway neither is needed nor helps."""
    friend = "https://friend.example"
    for tokens in ((), TOKENS):
        app = access(_anything, settings(gateway_tokens=tokens, gateway_cors_origins=(friend,)))
        assert status(app, "POST", "/v1/readings") == (200, "")
        for origin in ("http://evil.example", friend):
            assert status(app, "POST", "/v1/readings", origin=origin) == (403, "cross_origin")
        assert status(app, "POST", "/v1/readings", sec_fetch_site="cross-site") == (403, "cross_origin")
        assert status(app, "POST", "/v1/readings", host="evil.example") == (400, "foreign_host")
    assert status(app, "GET", "/v1/readings") == (401, "unauthorized")
    assert status(app, "PUT", "/v1/readings") == (401, "unauthorized")


def test_mqtt_over_websocket_needs_no_token_and_comes_from_no_foreign_page() -> None:
    app = access(_accepting, settings(gateway_tokens=TOKENS))
    assert shake_hands(app, path="/mqtt") == [{"type": "websocket.accept"}]
    assert shake_hands(app, (b"origin", b"https://evil.example"), path="/mqtt")[0]["status"] == 403


def shake_hands(
    app: Access, *headers: tuple[bytes, bytes], subprotocols: tuple[str, ...] = (), path: str = "/v1/ws"
) -> list[Message]:
    """The answer to a WebSocket client."""
    told: list[Message] = []

    async def send(message: Message) -> None:
        told.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    scope = {
        "type": "websocket",
        "path": path,
        "headers": [OURS, *headers],
        "subprotocols": list(subprotocols),
        "extensions": {"websocket.http.response": {}},
    }
    asyncio.run(app(scope, receive, send))
    return told


async def _accepting(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})


def test_a_websocket_sends_its_token_in_a_header_or_as_a_subprotocol() -> None:
    app = access(_accepting, settings(gateway_tokens=TOKENS))
    assert shake_hands(app)[0]["status"] == 401
    header = (b"authorization", f"Bearer {TOKENS[1]}".encode())
    assert shake_hands(app, header) == [{"type": "websocket.accept"}]
    offered = shake_hands(app, subprotocols=("bdemo", f"bearer.{TOKENS[1]}"))
    assert offered == [{"type": "websocket.accept", "subprotocol": "bdemo"}]
    assert shake_hands(app, subprotocols=("bdemo", "bearer.x"))[0]["status"] == 401


def test_a_websocket_comes_from_our_page_or_an_allowed_origin() -> None:
    app = access(_accepting, settings(gateway_cors_origins=("https://friend.example",)))
    assert shake_hands(app, (b"origin", b"https://friend.example")) == [{"type": "websocket.accept"}]
    assert shake_hands(app, (b"origin", b"https://evil.example"))[0]["status"] == 403


@pytest.mark.parametrize("headers", [[], [OURS, OURS], [OURS, (b"host", b"evil.example")]])
def test_exactly_one_host_header_is_required(headers: list[tuple[bytes, bytes]]) -> None:
    refused = access(_anything, settings())._refusal({"type": "http", "method": "GET", "path": "/", "headers": headers})
    assert refused is not None
    assert refused.status_code == 400


# -- bounds


async def _reading(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


def limited() -> Any:
    app = Starlette(routes=[Route(path, _reading, methods=["GET", "POST"]) for path in ("/", READINGS)])
    app.add_exception_handler(limits.HTTPException, problems._http)
    return limits.Limited(app)


@pytest.mark.parametrize("size", [0, limits.BODY_MAX, limits.BODY_MAX + 1, 10 * limits.BODY_MAX])
@pytest.mark.parametrize("pieces", [False, True])
def test_a_body_has_a_maximum_size(size: int, pieces: bool) -> None:
    async def in_pieces() -> AsyncIterator[bytes]:
        for begin in range(0, size, 1000):
            yield b"x" * min(1000, size - begin)

    response = ask(limited(), "POST", "/", {}, in_pieces() if pieces else b"x" * size)
    if size <= limits.BODY_MAX:
        assert (response.status_code, response.text) == (200, str(size))
    else:
        assert (response.status_code, response.json()["status"]) == (413, 413)


def test_readings_have_a_maximum_size_of_their_own() -> None:
    size = 10 * limits.BODY_MAX
    assert ask(limited(), "POST", READINGS, {}, b"x" * size).text == str(size)
    assert ask(limited(), "PUT", READINGS, {}, b"x" * size).status_code == 413


def test_requests_beyond_the_limit_are_refused() -> None:
    async def all_at_once() -> list[int]:
        free = asyncio.Event()

        async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
            await free.wait()
            await _anything(scope, receive, send)

        app = limits.Limited(waiting)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            asked = [asyncio.ensure_future(client.get("/")) for _ in range(limits.REQUESTS_MAX + 5)]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            free.set()
            statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
            return [*statuses, (await client.get("/")).status_code]

    statuses = asyncio.run(all_at_once())
    assert statuses.count(503) == 5
    assert statuses[-1] == 200


def test_head_is_get_without_a_body_and_reads_no_further() -> None:
    pieces: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        for number in itertools.count():
            pieces.append(number)
            yield b"x" * 1000
            await asyncio.sleep(0)

    async def stream(request: Request) -> Response:
        assert request.method == "GET"
        return StreamingResponse(endless(), media_type="text/plain")

    app = limits.Heads(Starlette(routes=[Route("/", stream), Route("/text", lambda request: PlainTextResponse("abc"))]))
    response = ask(app, "HEAD", "/", {})
    assert (response.status_code, response.content) == (200, b"")
    assert len(pieces) < 10
    response = ask(app, "HEAD", "/text", {})
    assert (response.headers["content-length"], response.content) == ("3", b"")
