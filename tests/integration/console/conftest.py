"""A browser for each module, and consoles in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from backend_demo.settings import Settings
from tests.support.browser import PATIENCE_MS, chromium
from tests.support.console import Console

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


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
