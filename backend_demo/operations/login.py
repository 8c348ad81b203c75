"""Asks a gateway for an address that logs a browser in."""

from __future__ import annotations

from backend_demo.errors import ServiceFailed
from backend_demo.http_client import httpx

LIMIT_S = 5.0


def address(url: str, token: str, page: str) -> str:
    """An address that works once and leads to that page; the page's own where none is needed. Raises ServiceFailed."""
    try:
        answer = httpx.post(f"{url}/v1/login", headers={"Authorization": f"Bearer {token}"}, timeout=LIMIT_S)
    except httpx.TransportError as problem:
        raise ServiceFailed(f"the gateway at {url} does not answer", hint="start it: bdemo up gateway") from problem
    if answer.status_code == 403 and answer.json()["code"] == "no_login":
        return f"{url}{page}"
    if answer.status_code != 201:
        raise ServiceFailed(
            f"the gateway at {url} gives no address: {answer.status_code} {answer.reason_phrase}",
            hint="check BDEMO_GATEWAY_TOKEN, and see: bdemo logs gateway",
        )
    return f"{url}{answer.json()['path']}&to={page}"
