"""`bdemo top`: what it refuses, and who may use the page of --web."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from backend_demo.cli.options import Output
from backend_demo.cli.top.command import top
from backend_demo.cli.top.web import SESSIONS_MAX, WebPage
from backend_demo.errors import NoStack, UsageError


@pytest.mark.parametrize(
    ("given", "said", "hint"),
    [
        ({}, "needs a terminal", "bdemo top --once -o json"),
        ({"output": Output.json}, "--output json needs --once", "bdemo top --once -o json"),
        ({"once": True, "web": True}, "cannot be combined", "one of them"),
        ({"port": 8010}, "--port needs --web", "--web --port 8010"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], said: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        top(**given, state_dir=tmp_path)
    assert hint in refused.value.hint


@pytest.mark.parametrize("given", [{"once": True}, {"web": True}])
def test_without_a_stack_it_says_so(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(NoStack):
        top(**given, state_dir=tmp_path)


@contextlib.asynccontextmanager
async def serving(command: str = "exit 3") -> AsyncIterator[tuple[WebPage, aiohttp.ClientSession]]:
    """The page on a free port, and a browser."""
    page = WebPage(command, 0)
    runner = web.AppRunner(await page.application())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        page.port = runner.addresses[0][1]
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{page.port}", cookie_jar=aiohttp.CookieJar(unsafe=True)
        ) as client:
            yield page, client
    finally:
        await runner.cleanup()


def ask(path: str, *, logged_in: bool = True, **headers: str) -> tuple[int, str]:
    """Status and text of one request to the page."""

    async def session() -> tuple[int, str]:
        async with serving() as (page, client):
            if logged_in:
                async with client.get(page.address()) as answer:
                    assert answer.status == 200
            sent = {name: value.format(port=page.port) for name, value in headers.items()}
            async with client.get(path, headers=sent) as answer:
                return answer.status, await answer.text()

    return asyncio.run(session())


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", "/ws", "/static/js/textual.js"])
def test_without_the_printed_address_nobody_gets_anything(path: str) -> None:
    status, text = ask(path, logged_in=False)
    assert status == 401
    assert "bdemo top --web" in text


def test_the_printed_address_works_once_and_its_cookie_is_kept_from_pages() -> None:
    async def session() -> None:
        async with serving() as (page, client):
            address = page.address()
            async with client.get(address, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/")
                cookie = answer.headers["Set-Cookie"]
                assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert f"bdemo_top_{page.port}=" in cookie
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            async with client.get("/") as answer:
                assert answer.status == 200
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            async with aiohttp.ClientSession() as stranger, stranger.get(address) as answer:
                assert answer.status == 401

    asyncio.run(session())


def test_sessions_are_few_and_one_too_many_gets_a_clear_page() -> None:
    async def session() -> None:
        async with serving("exec sleep 60") as (page, client), contextlib.AsyncExitStack() as tabs:
            async with client.get(page.address()):
                pass
            for _ in range(SESSIONS_MAX):
                await tabs.enter_async_context(client.ws_connect("/ws"))
            async with client.get("/") as answer:
                assert answer.status == 503
                assert "close a tab" in await answer.text()
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await client.ws_connect("/ws")

    asyncio.run(session())


def test_the_page_loads_nothing_from_elsewhere() -> None:
    status, text = ask("/")
    assert status == 200
    assert "https:" not in text
    assert 'src="/static/js/textual.js"' in text
    for path in ("/static/js/textual.js", "/static/css/xterm.css", "/static/fonts/RobotoMono-VariableFont_wght.ttf"):
        assert path in text
    assert 'data-session-websocket-url="ws://127.0.0.1:' in text


@pytest.mark.parametrize("path", ["/static/css/xterm.css", "/static/js/textual.js"])
def test_what_the_page_loads_is_there_and_loads_nothing_either(path: str) -> None:
    status, text = ask(path)
    assert status == 200
    assert "url(http" not in text
    assert "googleapis" not in text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:{port}", "Origin": "http://localhost:{port}"}, 200),
        ({"Host": "evil.example:{port}"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_only_a_browser_that_means_this_page_gets_an_answer(headers: dict[str, str], status: int) -> None:
    assert ask("/", **headers)[0] == status


def test_another_page_gets_no_session() -> None:
    """Not even by a websocket, which browsers let any page open: it could restart services."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    status, _ = ask("/ws", Origin="http://evil.example", **{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}, **upgrade)
    assert status == 403
