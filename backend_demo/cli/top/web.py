"""`bdemo top --web`: the same screen in a browser on this machine, which loads nothing from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import shlex
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.server import Server, to_int

from backend_demo.cli import loop
from backend_demo.cli.render import say
from backend_demo.errors import PortInUse
from backend_demo.one_time import SESSION_S, OneTimeTokens, SessionCookies

HOST = "127.0.0.1"
PORT = 8010

#: Sessions at the same time: each is a process of about 60 MB.
SESSIONS_MAX = 4
#: Time in which the printed address must be opened, seconds.
OPEN_S = 600.0

#: Headers of every answer: no page embeds this one, and its address, with the token, goes nowhere.
HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'; object-src 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

#: Time that a session has to end before it is killed, seconds.
END_S = 3.0


def serve(state_dir: Path, port: int, interval_s: float) -> None:
    """Serves until interrupted; each browser tab gets a `bdemo top` of its own. Raises PortInUse."""
    words = ["top", "--state-dir", str(state_dir), "--interval", str(interval_s)]
    # exec: the session's process is not the child of a shell
    command = "exec " + shlex.join([sys.executable, "-m", "backend_demo", *words])
    loop.run(_serve(WebPage(command, port)))


async def _serve(page: WebPage) -> None:
    runner = web.AppRunner(await page.application(), shutdown_timeout=END_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, page.host, page.port).start()
        say(f"[bold]{page.address()}[/]  until Ctrl-C; the address works once, within {OPEN_S / 60:.0f} minutes")
        await asyncio.Event().wait()
    except OSError as problem:
        if problem.errno != errno.EADDRINUSE:
            raise
        raise PortInUse(
            page.port, "bdemo top --web", "another process", hint="choose another port with --port"
        ) from problem
    finally:
        await runner.cleanup()


class BrowserSession(AppService):
    """The `bdemo top` of one browser tab."""

    async def stop(self) -> None:
        """Ends the session, by a kill if need be: textual misses a quit that arrives while it starts."""
        try:
            async with asyncio.timeout(END_S):
                await super().stop()
        except TimeoutError:
            pass
        finally:
            if self._process is not None and self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()


class WebPage(Server):
    """textual-serve's server, with a page that loads its font from here and answers only requests meant for it."""

    def __init__(self, command: str, port: int) -> None:
        super().__init__(command, host=HOST, port=port, title="bdemo top")
        self._sessions: set[BrowserSession] = set()
        self._starting = 0
        self._tokens = OneTimeTokens(OPEN_S)
        self._cookies = SessionCookies(secrets.token_bytes(32))

    def address(self) -> str:
        """An address that lets one browser in: other users of this machine must not restart services."""
        return f"http://{self.host}:{self.port}/?token={self._tokens.issue()}"

    async def application(self) -> web.Application:
        """Builds the application."""
        app: web.Application = await self._make_app()
        app.middlewares.append(self._only_ours)
        return app

    @web.middleware
    async def _only_ours(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Refuses requests of other pages, under a name of their own (DNS rebinding) or openly."""
        hosts = [f"{name}:{self.port}" for name in (HOST, "localhost")]
        origin = request.headers.get("Origin")
        if request.host not in hosts or origin not in (None, *(f"http://{host}" for host in hosts)):
            raise web.HTTPForbidden(text="this page is for a browser on this machine\n", headers=HEADERS)
        name = f"bdemo_top_{self.port}"  # cookies do not tell ports apart
        token = request.query.get("token", "")
        if token and request.method == "GET" and request.path == "/" and self._tokens.redeem(token):
            logged_in = web.HTTPSeeOther("/", headers=HEADERS)
            logged_in.set_cookie(name, self._cookies.issue(), max_age=SESSION_S, httponly=True, samesite="Strict")
            raise logged_in
        if not self._cookies.knows(request.cookies.get(name, "")):
            raise web.HTTPUnauthorized(
                text="this address has been used, or is not the one that was printed\nstart again: bdemo top --web\n",
                headers=HEADERS,
            )
        answer: web.StreamResponse = await handler(request)
        if not answer.prepared:
            answer.headers.update(HEADERS)
        return answer

    def _refuse_more(self) -> None:
        if len(self._sessions) + self._starting >= SESSIONS_MAX:
            raise web.HTTPServiceUnavailable(
                text=f"{SESSIONS_MAX} sessions are open, and there may be no more\nclose a tab, then load this again\n",
                headers=HEADERS,
            )

    async def handle_index(self, request: web.Request) -> web.Response:
        """Serves the page, unless there are too many sessions."""
        self._refuse_more()
        text = files("backend_demo.cli.top").joinpath("web.html").read_text()
        return web.Response(text=text.replace("{{ websocket }}", f"ws://{request.host}/ws"), content_type="text/html")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Runs one session, until its tab is closed or it ends."""
        self._refuse_more()
        socket = web.WebSocketResponse(heartbeat=15)
        width, height = (to_int(request.query.get(name, ""), least) for name, least in (("width", 80), ("height", 24)))
        self._starting += 1
        try:
            await socket.prepare(request)
        finally:
            self._starting -= 1
        session = BrowserSession(
            self.command,
            write_bytes=socket.send_bytes,
            write_str=socket.send_str,
            close=socket.close,  # type: ignore[arg-type]
            download_manager=self.download_manager,
        )
        self._sessions.add(session)
        try:
            await session.start(width, height)
            await self._process_messages(socket, session)
        finally:
            self._sessions.discard(session)
            await session.stop()
        return socket

    async def on_startup(self, app: web.Application) -> None:
        """Prints nothing, as `serve` does it."""

    async def on_shutdown(self, app: web.Application) -> None:
        """Ends all sessions."""
        await asyncio.gather(*(session.stop() for session in self._sessions))
