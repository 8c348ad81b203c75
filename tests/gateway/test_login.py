"""A browser past the token: an address that works once, and the cookie that it becomes."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from backend_demo.errors import BdemoError
from backend_demo.operations import login
from tests.support.gateway import GatewayProcess, serving
from tests.support.postgres import PostgresServer

TOKEN = "0123456789abcdef" * 2
READINGS = "/v1/sensors"


@pytest.fixture(scope="module")
def gateway(database: PostgresServer) -> Iterator[GatewayProcess]:
    with serving(database.dsn("bdemo_reader"), settings={"BDEMO_GATEWAY_TOKENS": TOKEN}) as found:
        yield found


@pytest.fixture
def browser(gateway: GatewayProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, follow_redirects=True) as client:
        yield client


def test_the_address_works_once_and_lets_in(gateway: GatewayProcess, browser: httpx.Client) -> None:
    assert browser.get(READINGS).status_code == 401
    address = login.address(gateway.url, TOKEN, "/")
    found = browser.get(address)
    assert (found.status_code, found.url.path) == (200, "/")
    assert TOKEN not in address
    assert browser.get(READINGS).status_code == 200
    with httpx.Client() as second:
        again = second.get(address)
        assert (again.status_code, again.json()["code"]) == (403, "login_used")
        assert second.get(f"{gateway.url}{READINGS}").status_code == 401


def test_it_leads_to_the_page_that_is_asked_for_and_nowhere_else(
    gateway: GatewayProcess, browser: httpx.Client
) -> None:
    assert browser.get(login.address(gateway.url, TOKEN, "/docs")).url.path == "/docs"
    away = login.address(gateway.url, TOKEN, "https://evil.example/")
    assert browser.get(away, follow_redirects=False).status_code == 422


def test_the_cookie_is_for_this_page_alone(gateway: GatewayProcess) -> None:
    answer = httpx.get(login.address(gateway.url, TOKEN, "/"), follow_redirects=False)
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == f"bdemo_{gateway.port}"
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in rest.split(";")}
    assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("no-referrer", "no-store")


@pytest.mark.parametrize("cookie", ["", "x", "9999999999.x.y", "9999999999.é.y", "a" * 4000])
def test_a_cookie_that_was_not_given_lets_nobody_in(gateway: GatewayProcess, cookie: str) -> None:
    headers = {"Cookie": f"bdemo_{gateway.port}={cookie}".encode()}
    assert httpx.get(f"{gateway.url}{READINGS}", headers=headers).status_code == 401  # type: ignore[arg-type]


def test_another_page_cannot_use_it_to_change_anything(gateway: GatewayProcess, browser: httpx.Client) -> None:
    browser.get(login.address(gateway.url, TOKEN, "/"))
    foreign = browser.post("/v1/login", headers={"Origin": "https://evil.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "cross_origin")


@pytest.mark.parametrize("headers", [{}, {"Authorization": f"Bearer {TOKEN[1:]}x"}])
def test_only_who_has_a_token_gets_an_address(gateway: GatewayProcess, headers: dict[str, str]) -> None:
    assert httpx.post(f"{gateway.url}/v1/login", headers=headers).status_code == 401


def test_why_there_is_no_address_is_told(gateway: GatewayProcess) -> None:
    with pytest.raises(BdemoError, match="gives no address: 401"):
        login.address(gateway.url, "x" * 32, "/")
    with pytest.raises(BdemoError, match="does not answer"):
        login.address("http://127.0.0.1:1", TOKEN, "/")


def test_where_no_token_is_asked_for_no_cookie_is_given(database: PostgresServer) -> None:
    """It would stand for the token of `listen`, which nobody has shown."""
    with serving(database.dsn("bdemo_reader")) as gateway:
        refused = httpx.post(f"{gateway.url}/v1/login")
        assert (refused.status_code, refused.json()["code"]) == (403, "no_login")
        assert login.address(gateway.url, TOKEN, "/docs") == f"{gateway.url}/docs"


def test_a_cookie_gets_no_further_addresses(gateway: GatewayProcess, browser: httpx.Client) -> None:
    browser.get(login.address(gateway.url, TOKEN, "/"))
    assert browser.post("/v1/login").status_code == 403
