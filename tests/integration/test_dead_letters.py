"""/v1/dead-letters: the newest refused readings, with reason and origin."""

import json
import time
from typing import Any

import httpx
import pytest

from backend_demo.settings import Settings
from tests.support.live import letters
from tests.support.sensors import Publisher, new_sensor
from tests.support.wait import eventually


class TestDeadLetters:
    """/v1/dead-letters."""

    def test_the_newest_with_reason_and_origin(self, settings: Settings, sensor: int) -> None:
        now = time.time()
        refused = [
            (json.dumps({"value": 999, "timestamp": now}).encode(), "processing", "range"),
            (b"\xff\x00", "collection", "json"),
            (b"", "collection", "empty"),
            (b"x" * 5000, "collection", "json"),
        ]
        with Publisher(settings) as publisher:
            for count, (payload, _, _) in enumerate(refused, 1):
                publisher.raw(f"sensors/{sensor}/temperature", payload)
                publisher.settle()
                eventually(lambda count=count: len(self.ask(settings, sensor=sensor)) == count, "it")  # type: ignore[misc]
        found = self.ask(settings, sensor=sensor)
        assert [(one["stage"], one["reason"]) for one in found] == [told[1:] for told in refused[::-1]]
        large, empty, binary, hot = found
        assert (large["payload"], large["size"], large["truncated"]) == ("x" * 2000, 5000, True)
        assert (binary["payload"], binary["encoding"], binary["topic"]) == ("/wA=", "base64", "sensor-data")
        assert (hot["topic"], hot["encoding"]) == ("src-data", "utf-8")
        assert json.loads(hot["payload"])["value"] == 999
        assert hot["partition"] is not None
        assert hot["time"] == pytest.approx(time.time(), abs=120)
        assert empty["size"] == 0
        assert self.ask(settings, sensor=sensor, stage="processing") == [hot]
        assert self.ask(settings, sensor=sensor, limit=2) == found[:2]
        assert self.ask(settings, sensor=new_sensor()) == []

    def test_it_says_that_there_are_more(self, settings: Settings, sensor: int) -> None:
        letters(settings, sensor, 30)
        answer = self.answer(settings, sensor=sensor, limit=30)
        assert sorted(one["offset"] for one in answer["dead_letters"]) == list(range(30))
        cut = self.answer(settings, sensor=sensor, limit=29)
        assert cut["truncated"]
        assert cut["dead_letters"] == answer["dead_letters"][:29]
        times = [one["time"] for one in answer["dead_letters"]]
        assert times == sorted(times, reverse=True)

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "sensor=-1", "before=3"])
    def test_wrong_parameters_are_named(self, settings: Settings, query: str) -> None:
        answer = httpx.get(f"{settings.gateway_url}/v1/dead-letters?{query}", timeout=30)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, query.partition("=")[0])

    def answer(self, settings: Settings, **parameters: Any) -> dict[str, Any]:
        answer = httpx.get(f"{settings.gateway_url}/v1/dead-letters", params=parameters, timeout=30)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ask(self, settings: Settings, **parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.answer(settings, **parameters)["dead_letters"]
        return found
