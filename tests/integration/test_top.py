"""`bdemo top` on the real stack."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import aiohttp
import psutil
from textual.pilot import Pilot

from backend_demo.cli.top.app import Top
from backend_demo.cli.top.panels import Services
from backend_demo.cli.top.source import StackSource
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from tests.support.ports import free_port
from tests.support.sensors import Publisher, new_sensor
from tests.support.shell import Shell
from tests.support.wait import eventually

PER_S = 20
REFUSED = 3


def look(bdemo: Shell, interval_s: float = 0.5) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bdemo("top", "--once", "-o", "json", "--interval", str(interval_s)).stdout)
    return found


def counts(found: dict[str, Any]) -> dict[str, int]:
    return {hop["name"]: hop["count"] for hop in found["hops"]}


def refused(found: dict[str, Any]) -> int:
    return sum(
        each["count"] for each in found["dead_letters"] if (each["service"], each["reason"]) == ("collection", "json")
    )


def test_its_numbers_are_those_of_what_was_sent(bdemo: Shell, settings: Settings, sql: Any) -> None:
    """Every hop has counted every reading, the rates are those of the sensor, and so are the dead letters."""
    sensor, ended, sent = new_sensor(), threading.Event(), itertools.count()
    before = look(bdemo)

    def publish() -> None:
        with Publisher(settings) as publisher:
            for _ in range(REFUSED):
                publisher.raw(f"sensors/{sensor}/temperature", b"{no json")
            while not ended.wait(1 / PER_S):
                publisher.reading(sensor, time.time(), 20.0 + next(sent) % 7)
            publisher.settle()

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        during = look(bdemo, interval_s=3)
    finally:
        ended.set()
        thread.join(60)
    count = next(sent)
    query = "select count(*) from average where sensor_num = $1"
    eventually(lambda: sql(query, sensor)[0][0] == count, "all averages in the table")
    after = look(bdemo)

    assert (after["schema"], after["stack"], after["healthy"]) == ("bdemo.top/1", "embedded", True)
    new = {name: number - counts(before)[name] for name, number in counts(after).items()}
    # a repeated delivery may pass the hops twice, but never comes into a table twice
    assert new["table temperature"] == count
    assert all(number >= count for number in new.values()), new
    assert refused(after) - refused(before) == REFUSED
    assert all(0.5 * PER_S < hop["per_s"] < 1.5 * PER_S for hop in during["hops"]), during["hops"]
    by_name = {service["name"]: service for service in during["services"]}
    assert 0.5 * PER_S < by_name["collection"]["records_per_s"] < 1.5 * PER_S
    assert 0 < by_name["loader"]["latency"]["p50_s"] <= by_name["loader"]["latency"]["p99_s"] < 30
    assert 0 < during["end_to_end"]["average"]["p50_s"] < 30
    assert by_name["kafka"]["rss_bytes"] > 1_000_000


def test_r_restarts_the_selected_service_and_its_log_is_a_key_away(settings: Settings, stack: Stack) -> None:
    def pid() -> int | None:
        return next(service.pid for service in stack.status() if service.name == "processing")

    async def until(condition: Callable[[], Any], pilot: Pilot[Any], limit_s: float = 60) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, pilot.app.export_screenshot()
            await pilot.pause(0.1)

    def states(app: Top) -> dict[str, str]:
        return {service.name: service.state for service in app.view.services} if app.view else {}

    async def session(app: Top) -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await until(lambda: states(app).get("processing") == "ready" and "kafka" in states(app), pilot)
            services = app.query_one(Services)
            names = [service.name for service in app.view.services] if app.view else []
            services.move_cursor(row=names.index("processing"))
            await pilot.press("r", "y")
            await until(lambda: states(app)["processing"] != "ready", pilot)
            await until(lambda: any("was restarted" in note.message for note in app._notifications), pilot)
            await until(lambda: states(app)["processing"] == "ready", pilot)
            await pilot.press("l")
            await until(lambda: "ready" in app.export_screenshot(), pilot)

    first = pid()
    with closing(StackSource(settings.state_dir)) as source:
        asyncio.run(session(Top(source, interval_s=0.5)))
    assert pid() not in (None, first)


def test_a_browser_gets_the_same_screen_and_nothing_stays(settings: Settings) -> None:
    port = free_port()
    words = ("top", "--web", "--port", str(port), "--state-dir", str(settings.state_dir))
    server = subprocess.Popen([sys.executable, "-m", "backend_demo", *words], stderr=subprocess.PIPE, text=True)
    sessions: list[psutil.Process] = []

    async def watch(client: aiohttp.ClientSession) -> None:
        async with (
            client.ws_connect(f"ws://127.0.0.1:{port}/ws?width=80&height=24") as socket,
            asyncio.timeout(60),
        ):
            seen = b""
            async for message in socket:
                seen += message.data if isinstance(message.data, bytes) else b""
                if b"aggregation" in seen and b"gateway" in seen:
                    sessions.extend(psutil.Process(server.pid).children(recursive=True))
                    return

    try:
        assert server.stderr
        address = server.stderr.readline().split()[0]
        assert address.startswith(f"http://127.0.0.1:{port}/?token=")

        async def watch_twice() -> None:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
                async with client.get(address) as answer:
                    assert answer.status == 200
                await watch(client)
                assert sessions
                assert not psutil.wait_procs(sessions, timeout=15)[1]
                await watch(client)

        asyncio.run(watch_twice())
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=20) == 143
        assert not psutil.wait_procs(sessions, timeout=15)[1]
    finally:
        for process in (*sessions, server):
            if process.is_running() if isinstance(process, psutil.Process) else process.poll() is None:
                process.kill()
        server.communicate(timeout=10)
