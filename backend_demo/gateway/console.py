"""The console: a static page at / that has only this gateway's own routes as its data."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

ASSETS = "/console"

#: The page runs its own scripts and styles only, and talks to nobody else: what a dead letter holds stays text.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    # asked again each time, and answered with 304: a newer gateway is never mixed with an older page
    "Cache-Control": "no-cache",
}


def install(app: FastAPI) -> None:
    """Adds the page and its files; they tell nothing of the data, so they need no token."""
    static = _Files(directory=str(files("backend_demo.gateway") / "console_static"))
    app.mount(ASSETS, static)

    @app.get("/", include_in_schema=False)
    async def console(request: Request) -> Response:
        return await static.get_response("index.html", request.scope)


class _Files(StaticFiles):
    """Files with the headers of the page; one that the browser has is answered with 304."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response
