"""A dead letter is replayed and dismissed with the buttons of the console; totals are those of the log."""

import time
from typing import Any

from playwright.sync_api import expect

from backend_demo.domain.reading import normalized
from backend_demo.settings import Settings
from tests.support.console import Console, aside
from tests.support.dead_letters import refused
from tests.support.sensors import exact, new_sensor


def test_a_dead_letter_is_replayed_with_another_value_and_one_is_dismissed(
    console: Console, settings: Settings, sql: Any
) -> None:
    sensor, now = new_sensor(), normalized(time.time())
    ids = refused(
        settings, sensor, {"value": b'{"value": "warm", "timestamp": %r}' % now, "json": b"<b>21 degrees</b>"}
    )
    page = console.open("#dead-letters")
    wrong, malformed = (page.locator(f'.letter[data-id="{ids[reason]}"]') for reason in ("value", "json"))
    wrong.locator("summary").click()
    wrong.get_by_role("button", name="Replay").click()
    expect(wrong.locator(".letter-told")).to_contain_text("It would be refused again: not a finite number: 'warm'")
    wrong.get_by_label("Value").fill("21.5")
    wrong.get_by_role("button", name="Replay").click()
    expect(wrong).to_have_attribute("data-standing", "replayed")
    expect(wrong.locator(".letter-told")).to_contain_text(f"sensor {sensor}: 21.5 °C")
    expect(wrong.locator("form")).to_be_hidden()
    aside(lambda: exact(sql, {(sensor, now): 21.5}))
    malformed.locator("summary").click()
    malformed.get_by_role("button", name="Dismiss").click()
    expect(malformed).to_have_attribute("data-standing", "dismissed")
    page.get_by_label("State").select_option("dismissed")
    expect(wrong).to_have_count(0)
    expect(malformed).to_have_count(1)
    assert console.state() == {"standing": "dismissed"}
    total = console.api("/v1/dead-letters", limit=1)["total"]
    expect(page.locator("#dead-badge")).to_have_text(f"{total:,}")
    expect(page.locator("[role=status]", has_text=f" of {total:,}")).to_have_count(1)
    console.check()
