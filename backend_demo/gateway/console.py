"""Serves the console, a static page at / that gets its data from this gateway's routes only."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

ASSETS = "/console"

#: The page runs only its own scripts and styles and talks to no other server, so a dead letter's payload stays text.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    # revalidated each time, mostly with a 304: a newer gateway never serves an older page
    "Cache-Control": "no-cache",
}


def install(app: FastAPI) -> None:
    """Adds the page and its files; they contain no data, so they need no token."""
    static = _Files(directory=str(files("backend_demo.gateway") / "console_static"))
    app.mount(ASSETS, static)

    @app.get("/", include_in_schema=False)
    async def console(request: Request) -> Response:
        return await static.get_response("index.html", request.scope)


class _Files(StaticFiles):
    """Serves files with the headers of the page, or 304 if the browser has them already."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response
