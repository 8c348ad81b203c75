"""How a browser gets past the token: `bdemo open` asks for an address that works once, and the browser opens it."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from backend_demo.gateway import problems
from backend_demo.gateway.edge.logins import ISSUE, REDEEM, Logins
from backend_demo.one_time import SESSION_S, TOKEN_S

router = APIRouter(include_in_schema=False)


@router.post(ISSUE)
async def issue(request: Request) -> Response:
    """A path that logs one browser in, for the holder of a token."""
    logins: Logins = request.app.state.logins
    return JSONResponse({"path": f"{REDEEM}?token={logins.tokens.issue()}", "seconds": TOKEN_S}, 201)


@router.get(REDEEM)
async def redeem(request: Request, token: str, to: Literal["/", "/docs"] = "/") -> Response:
    """Goes on to the page, with a cookie that no script can read and no other page can use."""
    logins: Logins = request.app.state.logins
    if not logins.tokens.redeem(token):
        return problems.problem(
            403, "login_used", "this address has been used, or is too old; get another one with: bdemo open"
        )
    answer = RedirectResponse(to, 303, {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"})
    answer.set_cookie(
        logins.cookie,
        logins.cookies.issue(),
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer
