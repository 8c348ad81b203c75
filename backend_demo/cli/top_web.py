"""`bdemo top --web`: the same screen in a browser on this machine; nothing is loaded from anywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shlex
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.server import Server, to_int

from backend_demo.cli import loop
from backend_demo.cli.output import say
from backend_demo.errors import PortInUse

HOST = "127.0.0.1"
PORT = 8010

#: How long a session may take to end before it is killed.
END_S = 3.0


def serve(state_dir: Path, port: int, interval_s: float) -> None:
    """Serves until it is interrupted; each browser tab is a `bdemo top` of its own. Raises PortInUse."""
    words = ["top", "--state-dir", str(state_dir), "--interval", str(interval_s)]
    # exec: the session's process is not the child of a shell
    command = "exec " + shlex.join([sys.executable, "-m", "backend_demo", *words])
    loop.run(_serve(Page(command, port)))


async def _serve(page: Page) -> None:
    runner = web.AppRunner(await page.application(), shutdown_timeout=END_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, page.host, page.port).start()
        say(f"[bold]{page.public_url}[/]  until Ctrl-C")
        await asyncio.Event().wait()
    except OSError as problem:
        if problem.errno != errno.EADDRINUSE:
            raise
        raise PortInUse(
            page.port, "bdemo top --web", "another process", hint="choose another one with --port"
        ) from problem
    finally:
        await runner.cleanup()


class Session(AppService):
    """The `bdemo top` of one browser tab."""

    async def stop(self) -> None:
        """Ends it. Killed when it does not: textual overlooks a quit that comes while it starts."""
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


class Page(Server):
    """textual-serve's server with a page that loads its font from here, for browsers that mean this page only."""

    def __init__(self, command: str, port: int) -> None:
        super().__init__(command, host=HOST, port=port, title="bdemo top")
        self._sessions: set[Session] = set()

    async def application(self) -> web.Application:
        """The application to be run."""
        app: web.Application = await self._make_app()
        app.middlewares.append(self._only_ours)
        return app

    @web.middleware
    async def _only_ours(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Refuses what another page asks for: under a name of its own (DNS rebinding), or as itself."""
        hosts = [f"{name}:{self.port}" for name in (HOST, "localhost")]
        origin = request.headers.get("Origin")
        if request.host not in hosts or origin not in (None, *(f"http://{host}" for host in hosts)):
            raise web.HTTPForbidden(text="this page is for a browser on this machine\n")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page."""
        text = files("backend_demo.cli").joinpath("top_web.html").read_text()
        return web.Response(text=text.replace("{{ websocket }}", f"ws://{request.host}/ws"), content_type="text/html")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One session, until its tab is closed or it ends."""
        socket = web.WebSocketResponse(heartbeat=15)
        width, height = (to_int(request.query.get(name, ""), least) for name, least in (("width", 80), ("height", 24)))
        await socket.prepare(request)
        session = Session(
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
        """Says nothing: `serve` does."""

    async def on_shutdown(self, app: web.Application) -> None:
        """Ends all sessions."""
        await asyncio.gather(*(session.stop() for session in self._sessions))
