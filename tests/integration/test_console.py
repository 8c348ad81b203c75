"""The console in a real browser, on the real stack."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from tests.browser import PATIENCE_MS, chromium
from tests.integration.gateway import GatewayProcess, until
from tests.integration.postgres import PostgresServer
from tests.integration.sensors import Publisher, eventually, new_sensor

TOKEN = "0123456789abcdef" * 2
VIEWS = ("live", "pipeline", "services", "dead-letters", "trace")

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


class Console:
    """The page at a gateway's address, and what it asked for and said meanwhile."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.requests: list[str] = []
        self.refused: list[tuple[int, str]] = []
        self.said: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on(
            "response", lambda answer: answer.status >= 400 and self.refused.append((answer.status, answer.url))
        )
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def open(self, address: str = "") -> Page:
        self.page.goto(f"{self.url}/{address}")
        return self.page

    def api(self, path: str, **parameters: Any) -> Any:
        return httpx.get(f"{self.url}{path}", params=parameters, timeout=60).raise_for_status().json()

    def eventually(self, script: str, what: str) -> Any:
        """Waits until a JavaScript expression is true."""
        return eventually(lambda: self.page.evaluate(script), what, PATIENCE_MS / 1000)

    def chart(self, sensor: int, name: str) -> float:
        """What the chart of a sensor says of itself: `points` in the picture, the `newest` one's time."""
        value = self.page.locator(f'figure[data-sensors="{sensor}"]').get_attribute(f"data-{name}")
        return float(value) if value not in (None, "-Infinity") else 0.0

    def shows(self, sensor: int, points: int) -> None:
        """Waits until the chart of a sensor has so many points in its picture."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while self.chart(sensor, "points") != points:
            found = f"{self.chart(sensor, 'points'):.0f} points instead of {points}; {self.said} {self.requests[-8:]}"
            assert time.monotonic() < deadline, found
            self.page.wait_for_timeout(50)

    def state(self) -> dict[str, str]:
        query = urlsplit(self.page.url).fragment.partition("?")[2]
        return dict(part.split("=", 1) for part in query.split("&") if part)

    def check(self, *, troubled: bool = False) -> None:
        """Nothing was asked of another machine, nothing is broken, the policy was never violated."""
        assert {urlsplit(url).netloc for url in self.requests} <= {urlsplit(self.url).netloc}
        # what the browser itself says of each answer that is none or an error
        said = [text for text in self.said if not (troubled and text.startswith("Failed to load resource"))]
        assert said == []
        assert troubled or self.refused == []


@pytest.fixture
def open_console(browser: Browser) -> Iterator[Callable[..., Console]]:
    """Opens the console of a gateway; the options are those of a browser's context."""
    contexts: list[BrowserContext] = []

    def make(url: str, **options: Any) -> Console:
        options = {"viewport": {"width": 1400, "height": 900}, **options}
        contexts.append(browser.new_context(**options))
        return Console(contexts[-1], url)

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def console(open_console: Callable[..., Console], settings: Settings) -> Console:
    return open_console(settings.gateway_url)


def stored(console: Console, sensor: int, count: int) -> list[dict[str, Any]]:
    """Waits until the tables have so many readings and averages of a sensor; the readings."""

    def rows(name: str) -> list[dict[str, Any]]:
        return list(console.api(f"/v1/{name}", sensor=sensor, limit=10_000)[name])

    eventually(lambda: len(rows("averages")) == count, "all averages", PATIENCE_MS / 1000)
    return rows("readings")


def aside(work: Callable[[], Any]) -> Any:
    """In another thread: this one is inside playwright's event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


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


# -- charts


def test_a_chart_moves_when_data_arrives_and_agrees_with_the_tables(console: Console, settings: Settings) -> None:
    sensor, other = new_sensor(), new_sensor()
    with Publisher(settings) as publisher:
        begin = time.time() - 60
        for i in range(5):
            publisher.reading(sensor, begin + i, 20.0 + i)
        publisher.settle()
        stored(console, sensor, 5)
        page = console.open(f"#live?sensors={sensor}&range=1h")
        console.shows(sensor, 5)
        expect(page.locator(".chip[data-state=live]")).to_have_text("Live")
        asked = [url for url in console.requests if "/v1/readings" in url]
        for i in range(3):
            publisher.reading(sensor, time.time(), 30.5 + i)
            publisher.reading(other, time.time(), 99.0)
            publisher.settle()
        console.shows(sensor, 8)
    rows = stored(console, sensor, 8)
    assert console.chart(sensor, "newest") == rows[-1]["timestamp"]
    head = page.locator(f'figure[data-sensors="{sensor}"] .chart-head')
    expect(head).to_contain_text("32.5 °C")
    expect(head).to_contain_text("20.0 to 32.5")
    (average,) = console.api("/v1/averages", sensor=sensor, order="desc", limit=1)["averages"]
    expect(head.locator(".average-told")).to_have_text(f"avg {average['value']:.10g} °C")
    streams = [url for url in console.requests if "/v1/stream" in url]
    assert f"sensor={sensor}" in streams[-1]
    assert str(other) not in streams[-1]
    # history is asked for again only where the stream and the tables join
    again = [url for url in console.requests if "/v1/readings" in url]
    assert len(again) <= len(asked) + 5
    console.check()


def test_a_range_agrees_with_the_api_and_is_zoomed_by_mouse_and_keys(console: Console, settings: Settings) -> None:
    sensor, begin = new_sensor(), float(int(time.time()) - 7200)
    with Publisher(settings) as publisher:
        publisher.raw(f"sensors/{sensor}/temperature", b"not this one")
        for i in range(3000):
            publisher.reading(sensor, begin + i, 20.0 + i % 7)
        publisher.settle()
    stored(console, sensor, 3000)
    page = console.open(f"#live?sensors={sensor}&from={begin}&to={begin + 2999}")
    eventually(lambda: console.chart(sensor, "points") > 0, "history", PATIENCE_MS / 1000)
    asked = next(url for url in reversed(console.requests) if "/v1/readings" in url)
    rows = httpx.get(asked).json()["readings"]
    wanted = int(dict(part.split("=") for part in urlsplit(asked).query.split("&"))["max_points"])
    assert 100 <= wanted < 1400
    assert len(rows) == console.chart(sensor, "points") == wanted
    assert console.chart(sensor, "newest") == begin + 2999
    assert not [url for url in console.requests if "/v1/stream" in url]

    plot = page.locator(".u-over").bounding_box()
    assert plot is not None
    page.mouse.move(plot["x"] + plot["width"] * 0.25, plot["y"] + 60)
    page.mouse.down()
    page.mouse.move(plot["x"] + plot["width"] * 0.5, plot["y"] + 60, steps=5)
    page.mouse.up()
    console.eventually(f"location.hash.includes('from=') && !location.hash.includes('from={begin}')", "zoomed")
    state = console.state()
    assert float(state["from"]) == pytest.approx(begin + 750, abs=30)
    assert float(state["to"]) == pytest.approx(begin + 1500, abs=30)
    zoomed = console.api("/v1/readings", sensor=sensor, limit=10_000, **{"from": state["from"], "to": state["to"]})
    points = min(len(zoomed["readings"]), wanted)
    console.shows(sensor, points)

    page.keyboard.press("ArrowLeft")
    console.eventually(f"!location.hash.includes('from={state['from']}')", "earlier")
    assert float(console.state()["from"]) < float(state["from"])
    page.go_back()
    console.eventually(f"location.hash.includes('from={state['from']}')", "the browser's way back")

    page.get_by_role("button", name="Custom").click()
    page.get_by_label("From", exact=True).fill("2020-01-01T00:00:00")
    page.get_by_label("To", exact=True).fill("2020-01-01T01:00:00")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".plot-empty")).to_be_visible()
    page.get_by_label("To", exact=True).fill("2019-01-01T01:00:00")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".own-range .bad")).to_have_text("It ends before it begins")
    page.get_by_role("button", name="Back to live").click()
    expect(page.locator(".chip[data-state=live]")).to_have_text("Live")
    console.check()


def test_a_thousand_sensors_are_searched_and_chosen_from(console: Console, settings: Settings) -> None:
    first = 7_000_000
    with Publisher(settings) as publisher:
        for i in range(1000):
            publisher.reading(first + i, time.time(), 20.0 + i / 100)
        publisher.settle()
    eventually(lambda: len(console.api("/v1/latest")["readings"]) >= 1000, "all rows", PATIENCE_MS / 1000)
    page = console.open("#live")
    console.eventually("/[1-9],[0-9]{3} sensors/.test(document.querySelector('.told').textContent)", "the list")
    assert page.locator(".sensor:visible").count() < 60
    assert len(console.state()["sensors"].split(",")) == 4  # the first ones, as nobody has chosen
    for sensor in (first + 543, first + 500, first + 1):
        page.get_by_role("searchbox").fill(str(sensor))
        page.keyboard.press("Enter")
        expect(page.locator(f'figure[data-sensors="{sensor}"]')).to_be_visible()
        expect(page.get_by_role("option", selected=True)).to_contain_text(f"Sensor {sensor}")
    page.get_by_role("searchbox").fill("no such one")
    expect(page.locator(".told")).to_contain_text("None of")
    page.get_by_role("searchbox").fill("")
    sensor_list = page.get_by_role("listbox", name="Sensors")
    sensor_list.focus()
    page.keyboard.press("End")
    page.keyboard.press("Space")
    assert len(console.state()["sensors"].split(",")) == 8
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")  # a ninth cannot be told apart
    assert len(console.state()["sensors"].split(",")) == 8
    # however many there are: one request a look, and as many elements as fit
    asked = [urlsplit(url) for url in console.requests]
    assert {part.query for part in asked if part.path == "/v1/latest"} == {""}
    assert not [part for part in asked if part.path.startswith("/v1/sensors")]
    assert page.evaluate("document.querySelectorAll('*').length") < 2000
    # it draws while it looks: frames go on between two looks at all sensors
    looks = page.evaluate(
        """async () => {
            let frames = 0;
            const step = () => { frames++; requestAnimationFrame(step); };
            requestAnimationFrame(step);
            const looked = (entry) => entry.name.endsWith('/v1/latest');
            const seen = () => performance.getEntriesByType('resource').filter(looked).length;
            performance.setResourceTimingBufferSize(5000);
            const found = [];
            for (let i = 0, before = seen(); i < 3; i++) {
                while (seen() === before) await new Promise((done) => setTimeout(done, 20));
                before = seen();
                found.push(frames);
            }
            return found;
        }"""
    )
    assert all(after > before for before, after in itertools.pairwise(looks))
    page.reload()  # the address has it all
    expect(page.locator("figure.chart")).to_have_count(8)
    page.keyboard.press("o")
    expect(page.locator("figure.chart")).to_have_count(1)
    expect(page.locator(".chart-head")).to_have_count(8)
    console.check()


# -- the pipeline and its services


def test_the_pipeline_and_the_services_tell_rates_and_states(console: Console, settings: Settings) -> None:
    page = console.open("#pipeline")
    sensor = new_sensor()
    with Publisher(settings) as publisher:
        for i in range(50):
            publisher.reading(sensor, time.time() - 60 + i, 21.0)
        publisher.settle()
        for place in ("mqtt", "bridge", "collection", "processing", "aggregation", "loader", "postgres", "gateway"):
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

    page.get_by_role("button", name="One that is refused").click()
    page.keyboard.press("Enter")
    expect(page.locator(".outcome")).to_have_attribute("data-outcome", "refused")
    expect(page.locator(".outcome")).to_contain_text("Refused by processing")
    expect(page.locator('[data-hop="dead-letter"]')).to_have_attribute("data-state", "refused")
    expect(page.locator('[data-hop="table temperature"]')).to_have_count(0)
    page.get_by_label("Value in °C").fill("warm")
    page.keyboard.press("Enter")
    expect(page.locator(".publish [role=alert]")).to_have_text("The value is no number")
    console.check()


# -- what is away


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
        expect(page.get_by_role("alert").filter(has_text="PostgreSQL is away")).to_be_visible()
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
        until(gateway.ready, "ready", PATIENCE_MS / 1000)
        yield gateway
    finally:
        gateway.end()
        server.end()


def test_a_token_is_asked_for_and_an_empty_database_says_what_to_do(
    empty_gateway: GatewayProcess, open_console: Callable[..., Console]
) -> None:
    console = open_console(empty_gateway.url)
    page = console.open()
    dialog = page.get_by_role("dialog", name="This gateway wants a token")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Token").fill("f" * 32)
    page.keyboard.press("Enter")
    expect(page.locator("#token-reason")).to_contain_text("does not know")
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
    expect(page.locator("#publish-why")).to_contain_text("Not here: a token reads")
    expect(publish).to_be_disabled()
    console.check(troubled=True)


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
    page.get_by_role("button", name="Dark or light").click()
    assert ground("light") == light
    console.check()


def test_everything_is_reached_by_keys_alone(console: Console) -> None:
    page = console.open("#live")
    focused = "document.activeElement.textContent.trim() || document.activeElement.id"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Skip to the content"
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
