"""The console while a server is away, a token is asked for or a stage stands still."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from tests.support.browser import PATIENCE_MS
from tests.support.console import Console, aside, stored
from tests.support.gateway import GatewayProcess
from tests.support.postgres import PostgresServer
from tests.support.sensors import Publisher, new_sensor
from tests.support.wait import eventually

TOKEN = "0123456789abcdef" * 2


def test_a_stage_that_is_away_is_seen_and_a_test_reading_waits_before_it(console: Console, stack: Stack) -> None:
    page = console.open("#pipeline")
    expect(page.locator('[data-place="processing"] .state')).to_have_text("ready")
    aside(lambda: stack.stop("processing"))
    try:
        expect(page.locator('[data-place="processing"] .state')).to_have_text("down")
        expect(page.locator("#overall")).to_contain_text("processing down")
        page.keyboard.press("5")
        page.get_by_label("Sensor", exact=True).fill(str(new_sensor()))
        page.get_by_role("button", name="Publish a test reading").click()
        expect(page.locator(".outcome")).to_have_attribute("data-outcome", "timed out")
        expect(page.locator(".outcome")).to_contain_text("bdemo logs processing")
        expect(page.locator('[data-hop="src-data"]')).to_have_attribute("data-state", "reached")
        expect(page.locator('[data-hop="processed-data"]')).to_have_attribute("data-state", "stuck")
    finally:
        aside(lambda: stack.start("processing"))
    page.keyboard.press("3")
    expect(page.locator('tr[data-service="processing"] .state')).to_have_text("ready")
    console.check()


def test_the_page_goes_on_by_itself_when_the_gateway_comes_back(
    console: Console, settings: Settings, stack: Stack
) -> None:
    sensor = new_sensor()
    with Publisher(settings) as publisher:
        publisher.reading(sensor, time.time(), 20.0)
        publisher.settle()
        stored(console, sensor, 1)
        page = console.open(f"#live?sensors={sensor}&range=1h")
        expect(page.locator(".chip[data-state=live]")).to_have_text("Live")
        page.evaluate("window.theSamePage = true")
        aside(lambda: stack.stop("gateway"))
        try:
            expect(page.get_by_role("alert").filter(has_text="The gateway does not answer")).to_be_visible()
            expect(page.locator("#overall")).to_have_text("No answer")
            publisher.reading(sensor, time.time(), 25.0)
            publisher.settle()
        finally:
            aside(lambda: stack.start("gateway"))
        expect(page.locator("#banner")).to_be_hidden()
        console.shows(sensor, 2)
        expect(page.locator(".chip[data-state=live]")).to_have_text("Live")
        publisher.reading(sensor, time.time(), 26.0)
        publisher.settle()
        console.shows(sensor, 3)
    assert page.evaluate("window.theSamePage")
    console.check(troubled=True)


def test_the_page_goes_on_by_itself_when_postgresql_comes_back(console: Console, stack: Stack) -> None:
    page = console.open("#live")
    expect(page.locator("#overall")).to_have_text("All ready")
    aside(lambda: stack.stop("postgres"))
    try:
        expect(page.get_by_role("alert").filter(has_text="PostgreSQL is unavailable")).to_be_visible()
        expect(page.locator("#banner")).to_contain_text("Nothing is lost")
    finally:
        aside(lambda: stack.start("postgres"))
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#overall")).to_have_text("All ready")
    console.check(troubled=True)


@pytest.fixture
def empty_gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway that wants a token, on an empty database."""
    server = PostgresServer(tmp_path)
    aside(lambda: (server.start(), server.provision(), server.migrate()))
    gateway = GatewayProcess(server.dsn("bdemo_reader"), settings={"BDEMO_GATEWAY_TOKENS": TOKEN})
    try:
        eventually(gateway.ready, "ready", PATIENCE_MS / 1000)
        yield gateway
    finally:
        gateway.end()
        server.end()


def test_a_token_is_asked_for_and_an_empty_database_says_what_to_do(
    empty_gateway: GatewayProcess, open_console: Callable[..., Console]
) -> None:
    console = open_console(empty_gateway.url)
    page = console.open()
    dialog = page.get_by_role("dialog", name="This gateway requires a token")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Token").fill("f" * 32)
    page.keyboard.press("Enter")
    expect(page.locator("#token-reason")).to_contain_text("invalid token")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("div.empty")).to_contain_text("bdemo simulate --sensors 5")
    expect(page.locator("#banner")).to_be_hidden()
    page.reload()  # it is kept as long as the tab
    expect(page.locator("div.empty")).to_contain_text("bdemo simulate --sensors 5")
    expect(dialog).to_be_hidden()
    assert not [url for url in console.requests if TOKEN in url]
    page.keyboard.press("5")
    publish = page.get_by_role("button", name="Publish a test reading")
    publish.click()
    expect(page.locator("#publish-why")).to_contain_text("Not possible here: tokens are read-only")
    expect(publish).to_be_disabled()
    console.check(troubled=True)
