"""`bdemo dlq`: what was refused is replayed exactly once, whoever is killed, and can be dismissed and deleted."""

import asyncio
import base64
import csv
import json
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.reading import normalized
from backend_demo.domain.replay import Edit
from backend_demo.operations.dead_letters.letter_log import LetterLog, WantedLetters, opened
from backend_demo.operations.dead_letters.replay import Replayer, limits_of, plan, replayer
from backend_demo.settings import Settings
from tests.support.dead_letters import refused, warm, written
from tests.support.sensors import Publisher, exact
from tests.support.shell import Shell
from tests.support.wait import eventually


def documents(bdemo: Shell, *words: str, code: int = 0) -> list[dict[str, Any]]:
    """The dead letters in what the command prints."""
    found: list[dict[str, Any]] = json.loads(bdemo("dlq", *words, "-o", "json", code=code).stdout)["dead_letters"]
    return found


def listed(bdemo: Shell, sensor: int, *words: str) -> dict[str, dict[str, Any]]:
    """The dead letters of a sensor that are not done, by reason."""
    return {letter["reason"]: letter for letter in documents(bdemo, "ls", "--sensor", str(sensor), *words)}


def with_replayer(settings: Settings, act: Callable[[LetterLog, Replayer], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with (
            opened(Brokers.of(settings), patience_s=5, notify=print) as letters,
            replayer(settings, letters) as sender,
        ):
            return await act(letters, sender)

    return asyncio.run(run())


class TestReplay:
    """`bdemo dlq replay`."""

    def test_malformed_wrong_and_late_readings_become_one_row_each(
        self, settings: Settings, bdemo: Shell, sql: Any, sensor: int
    ) -> None:
        now = normalized(time.time())
        with Publisher(settings) as publisher:
            for i in range(40):
                publisher.reading(sensor, now - 100 + i, float(i))
            publisher.settle()
        expected = {(sensor, normalized(now - 100 + i)): float(i) for i in range(40)}
        exact(sql, expected)
        ids = refused(
            settings,
            sensor,
            {
                "json": b"21.5 degrees",
                "range": b'{"value": 999, "timestamp": %r}' % (now - 50),
                "old": b'{"value": 7, "timestamp": 5}',
                "future": b'{"value": 8, "timestamp": %d}' % ((int(now) - 30) * 1000),
            },
        )
        untouched = documents(bdemo, "replay", "--sensor", str(sensor), "--dry-run", code=8)
        assert {letter["reason"] for letter in untouched} == set(ids)
        late = normalized(now - 2000)
        for reason, changes in {
            "json": ["--set", f"sensor={sensor}", "--set", "value=1", "--set", f"timestamp={now - 40!r}"],
            "range": ["--set", "value=99.5"],
            "old": ["--set", f"timestamp={late!r}"],
        }.items():
            (found,) = documents(bdemo, "replay", ids[reason], *changes)
            assert found["outcome"] == "replayed"
        (found,) = documents(bdemo, "replay", ids["range"], "--set", "value=3")
        assert found["outcome"] == "skipped"
        milliseconds = settings.state_dir.parent / "milliseconds.toml"
        milliseconds.write_text(
            '[[mapping]]\ntopic = "sensors/{sensor}/temperature"\n'
            'value = "value"\ntime = "timestamp"\ntime_format = "ms"\n'
        )
        (found,) = documents(bdemo, "replay", ids["future"], "--map", str(milliseconds))
        assert found["readings"] == [{"sensor": str(sensor), "timestamp": int(now) - 30.0, "value": 8.0}]
        expected |= {
            (sensor, normalized(now - 40)): 1.0,
            (sensor, normalized(now - 50)): 99.5,
            (sensor, late): 7.0,
            (sensor, int(now) - 30.0): 8.0,
        }
        exact(sql, expected)
        assert listed(bdemo, sensor) == {}
        done = listed(bdemo, sensor, "--state", "replayed")
        assert done.keys() == ids.keys()
        assert done["range"]["replayed"][0]["value"] == 99.5

    def test_a_conflict_needs_another_time(self, settings: Settings, bdemo: Shell, sql: Any, sensor: int) -> None:
        now = normalized(time.time())
        with Publisher(settings) as publisher:
            publisher.reading(sensor, now, 20.0)
            publisher.settle()
        exact(sql, {(sensor, now): 20.0})
        ids = refused(settings, sensor, {"conflict": b'{"value": 21, "timestamp": %r}' % now})
        (found,) = documents(bdemo, "replay", ids["conflict"], code=8)
        assert (found["outcome"], found["reason"]) == ("refused", "conflict")
        documents(bdemo, "replay", ids["conflict"], "--set", f"timestamp={now - 1!r}")
        exact(sql, {(sensor, now): 20.0, (sensor, normalized(now - 1)): 21.0})

    def test_killed_before_its_mark_a_replay_is_finished_with_its_own_readings(
        self, settings: Settings, bdemo: Shell, sql: Any, sensor: int
    ) -> None:
        """The kill comes between what was sent and the mark: other readings must not follow these."""
        now = normalized(time.time())
        ids = refused(settings, sensor, {"value": b'{"value": "warm", "timestamp": %r}' % now})

        async def killed(letters: LetterLog, sender: Replayer) -> None:
            found = [
                letter for part in [p async for p in letters.scan(WantedLetters(sensors=[sensor]))] for letter in part
            ]
            edit = Edit(value=21.0, timestamp=now - 5)
            begun = await sender.begin(plan(found, edit, limits_of(settings), time.time()))
            await sender.send(begun)

        with_replayer(settings, killed)
        assert listed(bdemo, sensor)["value"]["state"] == "unfinished"
        (other,) = documents(bdemo, "replay", ids["value"], "--set", "value=30")
        assert other["outcome"] == "skipped"
        (found,) = documents(bdemo, "replay", "--sensor", str(sensor))
        assert (found["outcome"], found["readings"][0]["value"]) == ("finished", 21.0)
        assert listed(bdemo, sensor) == {}
        exact(sql, {(sensor, normalized(now - 5)): 21.0})

    def test_of_two_at_the_same_time_one_counts(self, settings: Settings, sql: Any, sensor: int) -> None:
        now = normalized(time.time())
        refused(settings, sensor, {"value": b'{"value": "warm", "timestamp": %r}' % now})

        async def one(edit: Edit, planned: asyncio.Barrier) -> str:
            async with (
                opened(Brokers.of(settings), patience_s=5, notify=print) as letters,
                replayer(settings, letters) as sender,
            ):
                parts = [part async for part in letters.scan(WantedLetters(sensors=[sensor]))]
                plans = plan([letter for part in parts for letter in part], edit, limits_of(settings), time.time())
                await planned.wait()
                (result,) = await sender.replay(plans)
                return result.outcome

        async def both() -> list[str]:
            planned = asyncio.Barrier(2)
            edits = (Edit(value=1.0, timestamp=now - 1), Edit(value=2.0, timestamp=now - 2))
            return sorted(await asyncio.gather(*(one(edit, planned) for edit in edits)))

        assert asyncio.run(both()) == ["replayed", "skipped"]
        rows = eventually(lambda: sql("select value from temperature where sensor_num = $1", sensor), "the row")
        exact(sql, {(sensor, normalized(now - value)): value for (value,) in rows})
        assert len(rows) == 1

    def test_killed_at_any_moment_and_repeated_nothing_is_lost_or_doubled(
        self, settings: Settings, bdemo: Shell, sql: Any, sensor: int
    ) -> None:
        begin = normalized(time.time() - 2000)
        times = [normalized(begin + i / 1000) for i in range(1500)]
        written(settings, [warm(sensor, at) for at in times])
        words = ("dlq", "replay", "--sensor", str(sensor), "--set", "value=21")
        with subprocess.Popen(bdemo.command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
            eventually(lambda: sql("select 1 from temperature where sensor_num = $1 limit 1", sensor), "a first row")
            first.send_signal(signal.SIGKILL)
        again = json.loads(bdemo(*words, "-o", "json").stdout)
        assert again["refused"] == again["skipped"] == 0
        assert listed(bdemo, sensor) == {}
        exact(sql, {(sensor, at): 21.0 for at in times})
        assert len(documents(bdemo, "ls", "--sensor", str(sensor), "--state", "replayed", "-n", "0")) == 1500


class TestOthers:
    """`bdemo dlq show`, `export` and `purge`."""

    def test_bytes_that_are_no_text_are_shown_and_exported_in_base64(self, bdemo: Shell, settings: Settings) -> None:
        raw, key = b"\xff" * 3000, b"garage/\xfe"
        written(settings, [DeadLetter("mqtt", "topic", "a test", raw, key, "garage/?")])
        (letter,) = documents(bdemo, "ls", "--reason", "topic", "--stage", "mqtt", "--since", "1m", "-n", "1")
        assert (letter["truncated"], letter["encoding"]) == (True, "base64")
        shown = json.loads(bdemo("dlq", "show", letter["id"], "-o", "json").stdout)["dead_letter"]
        assert (base64.b64decode(shown["payload"]), shown["truncated"]) == (raw, False)
        assert base64.b64decode(shown["key"]["base64"]) == key
        words = ("dlq", "export", "--reason", "topic", "--stage", "mqtt", "--since", "1m")
        (line,) = [each for each in map(json.loads, bdemo(*words).stdout.splitlines()) if each["id"] == letter["id"]]
        assert line == shown
        rows = csv.DictReader(bdemo(*words, "-o", "csv").stdout.splitlines())
        (row,) = [each for each in rows if each["id"] == letter["id"]]
        assert (base64.b64decode(row["payload"]), row["encoding"]) == (raw, "base64")

    def test_a_purge_by_filter_dismisses_and_one_by_time_deletes(
        self, bdemo: Shell, settings: Settings, sensor: int
    ) -> None:
        written(settings, [warm(sensor, 1.7e9 + i) for i in range(9)])
        asked = bdemo("dlq", "purge", "--sensor", str(sensor), code=2)
        assert "this would dismiss 9 dead letters" in asked.stderr
        done = json.loads(bdemo("dlq", "purge", "--sensor", str(sensor), "--yes", "-o", "json").stdout)
        assert (done["how"], done["count"]) == ("dismissed", 9)
        assert listed(bdemo, sensor) == {}
        assert len(documents(bdemo, "ls", "--sensor", str(sensor), "--state", "dismissed")) == 9
        total = json.loads(bdemo("dlq", "ls", "-o", "json").stdout)["total"]
        planned = json.loads(bdemo("dlq", "purge", "--all", "--dry-run", "-o", "json").stdout)
        assert (planned["how"], planned["count"]) == ("deleted", total)
        assert json.loads(bdemo("dlq", "purge", "--all", "--yes", "-o", "json").stdout)["count"] == total
        left = json.loads(bdemo("dlq", "ls", "--state", "all", "-o", "json").stdout)
        assert (left["total"], left["dead_letters"]) == (0, [])
        marks = bdemo("tail", "topic", "dead-letter-marks", "--from-beginning", "--exit", "-o", "json").stdout
        assert marks == ""

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("show", "99:1"), "unknown dead letter '99:1'"),
            (("show", "x"), "invalid id of a dead letter 'x'"),
            (("replay",), "which dead letters?"),
            (("replay", "3:17", "--all"), "cannot be combined"),
            (("replay", "--all", "--set", "value=warm"), "invalid value 'warm'"),
            (("purge",), "give one of"),
        ],
    )
    def test_wrong_words_are_named(self, bdemo: Shell, words: tuple[str, ...], message: str) -> None:
        done = bdemo("dlq", *words, code=9 if "99:1" in words else 2)
        assert message in done.stderr
