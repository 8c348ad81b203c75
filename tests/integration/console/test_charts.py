"""The charts of the console agree with the tables and the API."""

from __future__ import annotations

import itertools
import time
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from backend_demo.settings import Settings
from tests.support.browser import PATIENCE_MS
from tests.support.console import Console, stored
from tests.support.sensors import Publisher, new_sensor
from tests.support.wait import eventually


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
    expect(head.locator(".chart-average")).to_have_text(f"avg {average['value']:.10g} °C")
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
    expect(page.locator(".own-range .bad")).to_have_text("The end is before the start")
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
    console.eventually("/[1-9],[0-9]{3} sensors/.test(document.querySelector('.found').textContent)", "the list")
    assert page.locator(".sensor:visible").count() < 60
    assert len(console.state()["sensors"].split(",")) == 4  # the first ones, as nobody has chosen
    for sensor in (first + 543, first + 500, first + 1):
        page.get_by_role("searchbox").fill(str(sensor))
        page.keyboard.press("Enter")
        expect(page.locator(f'figure[data-sensors="{sensor}"]')).to_be_visible()
        expect(page.get_by_role("option", selected=True)).to_contain_text(f"Sensor {sensor}")
    page.get_by_role("searchbox").fill("no such one")
    expect(page.locator(".found")).to_contain_text("No match for")
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
