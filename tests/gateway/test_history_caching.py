"""ETags and caching of ranges."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.gateway import GatewayProcess
from tests.support.history import MEDIA_TYPES, OVER, START, filled
from tests.support.postgres import PostgresServer


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with filled(tmp_path_factory.mktemp("forms")) as server:
        yield server


KINDS: list[dict[str, Any]] = [
    {"limit": "all"},
    {"limit": 2},
    {"limit": "all", "format": "parquet"},
    {"format": "csv"},
    {"bucket": "1d", "agg": "count,mean"},
    {"max_points": 2},
]


class TestCaching:
    """A range that is over has an ETag, made of its rows."""

    @pytest.mark.parametrize("route", ["/v1/readings", "/v1/averages"])
    @pytest.mark.parametrize("kind", KINDS, ids=str)
    def test_a_late_row_changes_it(
        self, database: PostgresServer, gateway: GatewayProcess, route: str, kind: dict[str, Any]
    ) -> None:
        table = "temperature" if route == "/v1/readings" else "average"
        number = next(_numbers)
        insert = f"insert into {table} (sensor_num, timestamp, value) values ($1, $2, $3)"
        database.sql(insert, number, START, 20.0)
        wanted = {"sensor": number, "from": START - 100, "to": START + 100, **kind}

        def get(etag: str = "") -> httpx.Response:
            return gateway.get(route, {"If-None-Match": etag} if etag else None, **wanted)

        first = get()
        etag = first.headers["etag"]
        assert (first.status_code, first.headers["cache-control"]) == (200, "private, no-cache")
        assert "Accept" in first.headers["vary"].replace(",", " ").split()
        again = get(etag)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert get('"other", *').status_code == 304
        database.sql(insert, number, START + 200, 20.0)  # not of this range
        assert get(etag).status_code == 304
        database.sql(insert, number, START - 50, 20.0)
        late = get(etag)
        assert late.status_code == 200
        assert late.headers["etag"] != etag
        assert late.content != first.content
        etag = late.headers["etag"]
        database.sql(f"update {table} set value = 21 where sensor_num = $1 and timestamp = $2", number, START - 50)
        assert get(etag).status_code == 200

    def test_each_form_and_each_question_has_its_own(self, gateway: GatewayProcess) -> None:
        etags = [
            gateway.get(route, sensor=4, to=to, order=order, format=name, limit="all").headers["etag"]
            for route, to, order, name in itertools.product(
                ["/v1/readings", "/v1/averages"], [OVER, OVER + 1], ["asc", "desc"], MEDIA_TYPES
            )
        ]
        assert len(set(etags)) == len(etags)

    @pytest.mark.parametrize("kind", KINDS, ids=str)
    def test_a_range_that_goes_on_is_not_stored(self, gateway: GatewayProcess, kind: dict[str, Any]) -> None:
        for end in ({}, {"to": time.time() + 3600}):
            answer = gateway.get("/v1/readings", {"If-None-Match": "*"}, sensor=3, **end, **kind)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
            assert "etag" not in answer.headers


_numbers = itertools.count(1000)
