"""`bdemo top`: what it refuses, and who may use the page of --web."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from backend_demo.cli.options import Output
from backend_demo.cli.top import top
from backend_demo.cli.top_web import Page
from backend_demo.errors import NoStack, UsageError


def in_a_terminal(*words: str, term: str = "xterm") -> tuple[int, str]:
    """Exit code of `bdemo top`, and all that it wrote there."""
    ours, theirs = pty.openpty()
    try:
        code = subprocess.run(
            [sys.executable, "-m", "backend_demo", "top", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            timeout=60,
            check=False,
            env={**os.environ, "TERM": term},
        ).returncode
        return code, os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    ("given", "said", "hint"),
    [
        ({}, "needs a terminal", "bdemo top --once -o json"),
        ({"output": Output.json}, "no JSON", "bdemo top --once -o json"),
        ({"once": True, "web": True}, "exclude each other", "one of them"),
        ({"port": 8010}, "--port is the port of --web", "--web --port"),
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


def test_a_terminal_that_cannot_be_drawn_on_is_refused(tmp_path: Path) -> None:
    code, told = in_a_terminal("--state-dir", str(tmp_path), term="dumb")
    assert (code, "needs a terminal" in told) == (2, True)


def test_without_a_stack_a_terminal_is_left_as_it_was(tmp_path: Path) -> None:
    code, told = in_a_terminal("--state-dir", str(tmp_path))
    assert code == 7
    assert "\x1b[?1049h" not in told


def ask(path: str, **headers: str) -> tuple[int, str]:
    """Status and text of one request to the page, on a free port."""

    async def session() -> tuple[int, str]:
        page = Page("exit 3", 0)
        runner = web.AppRunner(await page.application())
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            page.port = runner.addresses[0][1]
            sent = {name: value.format(port=page.port) for name, value in headers.items()}
            url = f"http://127.0.0.1:{page.port}{path}"
            async with aiohttp.ClientSession() as client, client.get(url, headers=sent) as answer:
                return answer.status, await answer.text()
        finally:
            await runner.cleanup()

    return asyncio.run(session())


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
