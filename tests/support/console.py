"""The console in a browser, as tests see it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import BrowserContext, Page

from tests.support.browser import PATIENCE_MS
from tests.support.wait import eventually


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
