"""The views of the console, in a real browser on the real stack."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import expect

from backend_demo.settings import Settings
from tests.support.browser import PATIENCE_MS
from tests.support.console import Console
from tests.support.sensors import Publisher, new_sensor
from tests.support.wait import eventually

VIEWS = ("live", "pipeline", "services", "dead-letters", "trace")


# -- files


def test_the_page_and_its_files_have_a_strict_policy_and_are_asked_for_again_by_etag(console: Console) -> None:
    for path in ("/", "/console/main.js", "/console/vendor/uplot/uPlot.iife.min.js"):
        answer = httpx.get(console.url + path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-cache"
        again = httpx.get(console.url + path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert httpx.get(f"{console.url}/console/../console.py").status_code == 404
    assert httpx.get(f"{console.url}/console/nothing.js").status_code == 404


# -- the pipeline and its services


def test_the_pipeline_and_the_services_tell_rates_and_states(console: Console, settings: Settings) -> None:
    page = console.open("#pipeline")
    sensor = new_sensor()
    with Publisher(settings) as publisher:
        for i in range(50):
            publisher.reading(sensor, time.time() - 60 + i, 21.0)
        publisher.settle()
        for place in ("mqtt", "collection", "processing", "aggregation", "loader", "postgres", "gateway"):
            expect(page.locator(f'[data-place="{place}"] .state')).to_have_text("ready")

        def flows() -> bool:
            publisher.reading(sensor, time.time(), 22.0)
            told = page.locator(".topic:not(.dead) .topic-rate, .service[data-place=loader] dl").all_text_contents()
            return all(re.search(r"[1-9][0-9.,]*/s", text) for text in told)

        eventually(flows, "a rate at every topic", PATIENCE_MS / 1000)
        latency = page.locator(".figure", has_text="Latency of readings").locator("dd").first
        eventually(
            lambda: publisher.reading(sensor, time.time(), 23.0) or "ms" in (latency.text_content() or ""), "latency"
        )
    assert page.locator(".flows .flow").count() >= 13
    page.keyboard.press("3")
    row = page.locator('tr[data-service="processing"]')
    expect(row.locator("td").first).to_contain_text("ready")
    expect(row).to_contain_text("MB")
    console.check()


# -- dead letters


def test_dead_letters_come_live_with_their_reasons_and_hostile_ones_stay_text(
    console: Console, settings: Settings
) -> None:
    hostile = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'
    one, two = new_sensor(), new_sensor()
    page = console.open("#dead-letters")
    with Publisher(settings) as publisher:
        publisher.raw(f"sensors/{one}/temperature", hostile.encode())
        publisher.raw(f"sensors/{two}/temperature", b'{"value": 1e9, "timestamp": %d}' % int(time.time()))
        publisher.settle()
    first = page.locator(".letter", has_text=f"sensor {one}")
    second = page.locator(".letter", has_text=f"sensor {two}")
    expect(first).to_have_count(1)
    expect(second).to_have_count(1)
    letters = {letter["sensor"]: letter for letter in console.api("/v1/dead-letters", limit=100)["dead_letters"]}
    for sensor, item in ((one, first), (two, second)):
        letter = letters[sensor]
        item.locator("summary").click()
        expect(item.locator(".letter-reason")).to_have_text(letter["reason"])
        expect(item.locator(".payload")).to_have_text(letter["payload"])
        expect(item.locator(".facts")).to_contain_text(f"{letter['topic']} {letter['partition']}:{letter['offset']}")
        expect(item.locator(".facts")).to_contain_text(letter["stage"])
    expect(first.locator(".payload")).to_have_text(hostile)
    assert page.locator("main img, main script").count() == 0
    assert "owned" not in page.title()
    page.get_by_label("Stage").select_option(letters[two]["stage"])
    expect(second).to_be_visible()
    assert (letters[one]["stage"] == letters[two]["stage"]) or first.count() == 0
    page.get_by_label("Reason").select_option(letters[two]["reason"])
    expect(first).to_have_count(0)
    expect(second).to_have_count(1)
    assert console.state() == {"stage": letters[two]["stage"], "reason": letters[two]["reason"]}
    console.check()


# -- a test reading


def test_a_test_reading_is_followed_hop_by_hop(console: Console) -> None:
    sensor = new_sensor()
    page = console.open("#trace")
    page.get_by_label("Sensor", exact=True).fill(str(sensor))
    page.get_by_label("Value in °C").fill("21,5")
    page.get_by_role("button", name="Publish a test reading").click()
    expect(page.locator(".outcome")).to_have_attribute("data-outcome", "served")
    rows = page.locator("[data-hop]")
    assert rows.count() == 10
    for i in range(10):
        expect(rows.nth(i)).to_have_attribute("data-state", "reached")
        expect(rows.nth(i).locator(".way-all")).to_have_text(re.compile(r"^[0-9.,]+ ms$"))
    (row,) = console.api("/v1/latest", sensor=sensor)["readings"]
    assert row["value"] == 21.5

    page.get_by_role("button", name="Use an invalid value").click()
    page.keyboard.press("Enter")
    expect(page.locator(".outcome")).to_have_attribute("data-outcome", "refused")
    expect(page.locator(".outcome")).to_contain_text("Refused by processing")
    expect(page.locator('[data-hop="dead-letter"]')).to_have_attribute("data-state", "refused")
    expect(page.locator('[data-hop="table temperature"]')).to_have_count(0)
    page.get_by_label("Value in °C").fill("warm")
    page.keyboard.press("Enter")
    expect(page.locator(".publish [role=alert]")).to_have_text("The value is not a number")
    console.check()


# -- for everybody


def test_dark_and_light_follow_the_system_until_somebody_chooses(
    open_console: Callable[..., Console], settings: Settings
) -> None:
    console = open_console(settings.gateway_url, color_scheme="dark")
    page = console.open("#pipeline")

    def ground(theme: str) -> str:
        # the browser tells a page of the system's theme with its next frame
        expect(page.locator(f"html[data-theme={theme}]")).to_have_count(1)
        return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    dark = ground("dark")
    page.emulate_media(color_scheme="light")
    light = ground("light")
    assert dark != light
    page.keyboard.press("t")
    assert ground("dark") == dark
    page.reload()
    assert ground("dark") == dark
    page.get_by_role("button", name="Toggle dark mode").click()
    assert ground("light") == light
    console.check()


def test_everything_is_reached_by_keys_alone(console: Console) -> None:
    page = console.open("#live")
    focused = "document.activeElement.textContent.trim() || document.activeElement.id"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Skip to content"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Live"
    for title in ("Pipeline", "Services", "Dead letters", "Trace"):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.firstChild.textContent.trim()") == title
        assert page.title().startswith(title)
        expect(page.get_by_role("tab", selected=True)).to_contain_text(title)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("1")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Escape")
    page.keyboard.press("]")
    expect(page.get_by_role("button", name="Last 15m")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    controls = "[...document.querySelectorAll('button, a, input, select')]"
    named = "(each) => !each.checkVisibility() || each.ariaLabel || each.textContent.trim() || each.labels?.length"
    assert page.evaluate(f"{controls}.every({named})")
    console.check()


@pytest.mark.parametrize("width", [360, 768, 1000, 2200])
def test_no_view_is_wider_than_its_screen(open_console: Callable[..., Console], settings: Settings, width: int) -> None:
    console = open_console(settings.gateway_url, viewport={"width": width, "height": 800})
    page = console.open("#live")
    for place, view in enumerate(VIEWS, 1):
        page.keyboard.press(str(place))
        expect(page.locator(f"#view-{view}")).to_be_visible()
        expect(page.locator("#overall")).to_have_text("All ready")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
    console.check()
