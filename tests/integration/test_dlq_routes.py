"""/v1/dead-letters/replay and /v1/dead-letters/dismiss."""

import json
import time
from typing import Any

import httpx
import pytest

from backend_demo.domain.reading import normalized
from backend_demo.settings import Settings
from tests.support.dead_letters import refused
from tests.support.sensors import exact


class TestActions:
    """What the console's buttons ask for."""

    def test_a_replay_with_a_change(self, settings: Settings, sql: Any, sensor: int) -> None:
        now = normalized(time.time())
        ids = refused(settings, sensor, {"value": b'{"value": "warm", "timestamp": %r}' % now})
        body = {"ids": [ids["value"]], "set": {"value": 21.5}}
        planned = self.post(settings, "replay", {**body, "dry_run": True}).json()["dead_letters"]
        done = self.post(settings, "replay", body).json()["dead_letters"]
        assert done == planned
        assert done[0]["readings"] == [{"sensor": str(sensor), "timestamp": now, "value": 21.5}]
        assert self.post(settings, "replay", body).json()["dead_letters"][0]["outcome"] == "skipped"
        exact(sql, {(sensor, now): 21.5})
        (letter,) = self.asked(settings, sensor=sensor, state="replayed", reason="value", **{"from": now - 60})
        assert (letter["state"], letter["replayed"]) == ("replayed", done[0]["readings"])

    def test_a_dismissed_one_can_still_be_replayed(self, settings: Settings, sql: Any, sensor: int) -> None:
        now = normalized(time.time())
        ids = refused(settings, sensor, {"range": b'{"value": 999, "timestamp": %r}' % now})
        for count in (1, 0):
            assert self.post(settings, "dismiss", {"ids": [ids["range"]]}).json() == {"dismissed": count}
        assert self.asked(settings, sensor=sensor, state="open") == []
        self.post(settings, "replay", {"ids": [ids["range"]], "set": {"value": 1}})
        exact(sql, {(sensor, now): 1.0})

    @pytest.mark.parametrize(
        ("body", "headers", "status"),
        [
            ({"ids": ["99:1"]}, {}, 404),
            ({"ids": ["x"]}, {}, 422),
            ({"ids": []}, {}, 422),
            ({"ids": ["0:0"], "set": {"value": "warm"}}, {}, 422),
            ({"ids": ["0:0"], "set": {"sensor": "a/b"}}, {}, 422),
            ({"ids": ["0:0"]}, {"Content-Type": "text/plain"}, 415),
            ({"ids": ["0:0"]}, {"Origin": "http://elsewhere.example"}, 403),
            ({"ids": ["0:0"]}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ],
    )
    def test_what_is_refused(
        self, settings: Settings, body: dict[str, Any], headers: dict[str, str], status: int
    ) -> None:
        assert self.post(settings, "replay", body, headers).status_code == status

    def post(
        self, settings: Settings, action: str, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        given = {"Content-Type": "application/json", **(headers or {})}
        url = f"{settings.gateway_url}/v1/dead-letters/{action}"
        return httpx.post(url, content=json.dumps(body), headers=given, timeout=30)

    def asked(self, settings: Settings, **parameters: Any) -> list[dict[str, Any]]:
        answer = httpx.get(f"{settings.gateway_url}/v1/dead-letters", params=parameters, timeout=30)
        found: list[dict[str, Any]] = answer.json()["dead_letters"]
        return found
