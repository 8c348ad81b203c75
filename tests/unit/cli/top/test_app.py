"""The screen of `bdemo top`: how it looks, and its keys. After a wanted change: pytest --snapshot-update."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from pytest_textual_snapshot import SVGImageExtension
from textual.pilot import Pilot

from backend_demo.cli.top import app as top_app
from backend_demo.cli.top.app import Top
from backend_demo.cli.top.panels import Readings, Services
from backend_demo.cli.top.screens import Log, added
from backend_demo.domain.reading import Reading
from backend_demo.errors import NoStack, ServiceFailed
from backend_demo.operations.observe.exposition import Samples, parse
from backend_demo.operations.observe.overview import NAMES
from backend_demo.operations.observe.samples import Scrape
from backend_demo.stack.base import LogLine, ServiceStatus

SVGImageExtension.file_extension = "svg"  # the plugin names it as older versions of syrupy did

NOW = 1_700_000_000.0
STAGES = ("bridge", "collection", "processing", "aggregation", "loader", "gateway")
SERVERS = ("kafka", "mqtt", "postgres")
LIMIT_S = 10.0


def samples(service: str, second: int, *, dead: int = 0, lag: tuple[int, float] = (0, 0.0)) -> Samples:
    """What a stage tells when it has taken 50 records a second, each in 2 to 5 ms."""
    count = 1000 + 50 * second
    lines = [
        f"process_start_time_seconds {NOW - 3700}",
        f"process_cpu_seconds_total {0.05 * second}",
        "process_resident_memory_bytes 8.1e+07",
        f'bdemo_service_ready{{service="{service}"}} 1',
        f"bdemo_mqtt_acknowledged_total {count}",
        f"sensor_values_sent_total {count}",
        f"sensor_values_loaded_total {count}",
        f"aggregated_values_loaded_total {count}",
        *(f'bdemo_sensors{{state="{state}"}} {number}' for state, number in (("active", 5), ("silent", 1))),
        *(
            f'bdemo_dead_letters_total{{service="{service}",reason="{reason}"}} {number}'
            for reason, number in (("json", dead), ("range", 7 * dead))
        ),
    ]
    if service == "gateway":
        lines += [
            f'bdemo_request_seconds_bucket{{route="/v1/latest",status="200",le="{le}"}} {second}'
            for le in ("0.005", "+Inf")
        ]
    else:
        lines.append(f'bdemo_records_total{{service="{service}",topic="t"}} {count}')
        lines += [
            f'{name}_bucket{{service="{service}",topic="t",table="average",le="{le}"}} {number}'
            for name in ("bdemo_hop_seconds", "bdemo_end_to_end_seconds")
            for le, number in (("0.002", 0), ("0.005", count), ("+Inf", count))
        ]
    if service not in ("bridge", "gateway"):
        lines += [
            f'bdemo_lag_{unit}{{service="{service}",topic="t",partition="0"}} {number}'
            for unit, number in (("records", lag[0]), ("seconds", lag[1]))
        ]
    return parse("\n".join(lines) + "\n", NAMES)


class Fixed:
    """A source of known values: the second reading of its metrics is 2 s after the first."""

    def __init__(self, place: str = "embedded", *, sensors: int = 5) -> None:
        self.place = place
        self.restarted: list[str] = []
        self.trouble = False
        self.missing: Exception | None = None
        self.gateway_away = False
        self.may_restart = threading.Event()
        self.may_restart.set()
        self.refuses = False
        self._sensors = sensors
        self._looks = 0
        self._asked = 0

    def scrape(self) -> Scrape[str]:
        if self.missing:
            raise self.missing
        second = 2 * self._looks
        self._looks += 1
        copies: dict[str, Samples | None] = {name: samples(name, second) for name in STAGES}
        if self.trouble:
            copies["processing"] = None
            copies["aggregation"] = samples("aggregation", second, dead=second, lag=(123_456, 42.0))
        return Scrape(NOW + second - 2, copies)

    def services(self) -> list[ServiceStatus]:
        return [
            *(ServiceStatus(name, "ready", pid=100, uptime_s=3725.0, rss_bytes=40_000_000) for name in SERVERS),
            *(
                ServiceStatus(name, "ready", pid=200, restarts=1, error="[Errno 111] out of luck [/]")
                for name in STAGES
            ),
            ServiceStatus("prometheus", "off"),
        ]

    def latest(self) -> list[Reading]:
        if self.gateway_away:
            raise ServiceFailed("the gateway does not answer at http://127.0.0.1:8007", hint="see: bdemo status")
        self._asked += 1
        ages = (0.2, 3.0, 75.0, 4000.0, 200_000.0)
        return [Reading(n + 1, NOW - ages[n % 5], 20.0 + n % 50) for n in range(self._sensors)]

    def dead_letters(self) -> int | None:
        return 63 if self.trouble else 0

    def restart(self, service: str) -> None:
        self.may_restart.wait(LIMIT_S)
        if self.refuses:
            raise ServiceFailed(f"{service} did not come up", hint=f"see: bdemo logs {service}")
        self.restarted.append(service)

    def logs(self, service: str, lines: int) -> list[LogLine]:
        event = {"time": "2023-11-14T22:13:20.000Z", "level": "warning", "event": "batch refused", "partition": 3}
        return [LogLine(service, NOW, json.dumps(event)), LogLine(service, NOW, "line of another program")]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(top_app, "FIRST_S", 0.01)
    monkeypatch.delenv("NO_COLOR", raising=False)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def top(source: Fixed) -> Top:
    return Top(source, interval_s=60, clock=lambda: NOW)


async def until(condition: Callable[[], bool], pilot: Pilot[Any]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, pilot.app.export_screenshot()
        await pilot.pause(0.02)


async def settled(pilot: Pilot[Any]) -> None:
    """Both readings of the metrics are on the screen, and the sensors."""
    app = pilot.app
    assert isinstance(app, Top)
    await until(lambda: app.view is not None and app.view.interval_s == 2.0 and len(app.view.services) > 8, pilot)
    await until(lambda: bool(app._newest.sensors) or app._source.gateway_away, pilot)  # type: ignore[attr-defined]
    first = app._newest.sensors
    for look in range(1, 30):
        app._newest.see(
            [Reading(each.sensor, each.timestamp + look / 1e6, 20 + look * each.sensor % 7 / 2) for each in first]
        )
    app.query_one(Readings).show(app.query_one(Readings)._problem)
    await pilot.pause()


def pressed(*keys: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    async def press(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        await pilot.press(*keys)
        await pilot.pause(0.1)

    return press


# -- how it looks


def test_a_healthy_stack(snap_compare: Any) -> None:
    assert snap_compare(top(Fixed()), run_before=settled)


def test_a_healthy_stack_on_a_large_screen(snap_compare: Any) -> None:
    assert snap_compare(top(Fixed("compose", sensors=200)), run_before=settled, terminal_size=(160, 50))


def test_a_light_theme(snap_compare: Any) -> None:
    assert snap_compare(top(Fixed()), run_before=pressed("t"))


def test_without_colours(snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(top(Fixed()), run_before=settled)


def test_trouble_is_seen_at_a_glance(snap_compare: Any) -> None:
    """A service is down, another has lag and dead letters; the selected one's last error is there."""
    source = Fixed()
    source.trouble = source.gateway_away = True
    assert snap_compare(top(source), run_before=pressed(*["down"] * 5))


def test_no_stack_any_more(snap_compare: Any) -> None:
    source = Fixed()
    source.missing = NoStack("/home/me/stack")

    async def told(pilot: Pilot[Any]) -> None:
        await until(lambda: "no stack" in str(pilot.app.query_one("#header").render()), pilot)

    assert snap_compare(top(source), run_before=told)


def test_the_question_before_a_restart(snap_compare: Any) -> None:
    assert snap_compare(top(Fixed()), run_before=pressed("r"))


def test_the_help(snap_compare: Any) -> None:
    assert snap_compare(top(Fixed()), run_before=pressed("question_mark"))


def test_the_log(snap_compare: Any) -> None:
    assert snap_compare(top(Fixed()), run_before=pressed("down", "l"))


def test_a_filter(snap_compare: Any) -> None:
    assert snap_compare(top(Fixed(sensors=50)), run_before=pressed("slash", *"7,40-45", "enter"))


# -- its keys


def run(source: Fixed, act: Callable[[Pilot[Any], Top], Awaitable[None]]) -> None:
    async def session() -> None:
        app = top(source)
        async with app.run_test(size=(80, 24)) as pilot:
            await settled(pilot)
            await act(pilot, app)

    asyncio.run(session())


def test_r_restarts_the_selected_service_after_a_yes() -> None:
    source = Fixed()

    async def act(pilot: Pilot[Any], app: Top) -> None:
        await pilot.press(*["down"] * 5, "r", "n", "r", "y")
        await until(lambda: source.restarted == ["processing"], pilot)

    run(source, act)


def test_a_service_that_is_being_restarted_says_so_and_delays_the_end() -> None:
    source = Fixed()
    source.may_restart.clear()

    async def act(pilot: Pilot[Any], app: Top) -> None:
        await pilot.press("down", "r", "enter")
        await until(lambda: "restarting" in str(app.query_one(Services).get_row("mqtt")), pilot)
        await pilot.press("q")
        assert app.is_running
        source.may_restart.set()
        await until(lambda: not app.is_running, pilot)

    run(source, act)
    assert source.restarted == ["mqtt"]


def test_a_restart_that_fails_is_told_with_its_hint() -> None:
    source = Fixed()
    source.refuses = True

    async def act(pilot: Pilot[Any], app: Top) -> None:
        await pilot.press("r", "y")
        await until(lambda: bool(app._notifications), pilot)
        assert [note.message for note in app._notifications] == ["kafka did not come up\nsee: bdemo logs kafka"]

    run(source, act)


@pytest.mark.parametrize("key", ["l", "enter"])
def test_a_log_opens_and_escape_comes_back(key: str) -> None:
    async def act(pilot: Pilot[Any], app: Top) -> None:
        await pilot.press(key)
        assert isinstance(app.screen, Log)
        await pilot.press("escape")
        assert not isinstance(app.screen, Log)

    run(Fixed(), act)


def test_space_pauses_and_goes_on() -> None:
    source = Fixed()

    async def act(pilot: Pilot[Any], app: Top) -> None:
        await pilot.press("space")
        assert "PAUSED" in str(app.query_one("#header").render())
        await pilot.press("space")
        assert "PAUSED" not in str(app.query_one("#header").render())

    run(source, act)


def test_a_filter_that_is_none_is_refused_and_escape_keeps_the_old_one() -> None:
    async def act(pilot: Pilot[Any], app: Top) -> None:
        readings = app.query_one(Readings)
        await pilot.press("slash", *"2-3", "enter")
        assert readings.border_title == "sensors 2-3, °C: 2"
        await pilot.press("slash", "plus", "enter")
        assert "invalid sensor" in next(iter(app._notifications)).message
        await pilot.press("escape", "down")
        assert readings.border_title == "sensors 2-3, °C: 2"
        assert app.query_one(Services).has_focus

    run(Fixed(), act)


def test_the_cursor_stays_on_its_service_when_copies_come_and_go() -> None:
    async def act(pilot: Pilot[Any], app: Top) -> None:
        services = app.query_one(Services)
        await pilot.press(*["down"] * 7)
        assert app.view
        assert services.selected
        assert services.selected.name == "loader"
        services.show([service for service in app.view.services if service.name != "kafka"])
        assert services.selected.name == "loader"

    run(Fixed(), act)


# -- a log that is read again and again


def lines(*texts: str) -> list[LogLine]:
    return [LogLine("loader", 0.0, text) for text in texts]


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ("", "ab", "ab"),
        ("ab", "ab", ""),
        ("ab", "abc", "c"),
        ("abc", "bcd", "d"),
        ("aa", "aaa", "a"),
        ("ab", "xy", "xy"),
        ("abc", "", ""),
    ],
)
def test_only_new_lines_are_added(before: str, now: str, new: str) -> None:
    assert list(added(lines(*before), lines(*now))) == lines(*new)
