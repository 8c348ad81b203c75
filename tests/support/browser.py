"""The machine's Chromium; tests that need it are skipped where it is not installed."""

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

#: Time limit of every wait in the browser, milliseconds; long, as the machine may be busy with the stack.
PATIENCE_MS = 120_000


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """While it is open, playwright runs an event loop in this thread, so `asyncio.run` fails here."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium here: apt install chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
