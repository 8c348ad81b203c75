"""Ranges in every form: the same rows, in bounded memory, at the client's pace; samples, and what may be cached."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from backend_demo.gateway.rows.downsample import sampled
from tests.support.gateway import GatewayProcess
from tests.support.history import (
    BIG,
    BIG_ROWS,
    CODINGS,
    FEW,
    MEDIA_TYPES,
    OVER,
    SENSORS,
    START,
    Row,
    filled,
    rows_of,
    table_of,
)
from tests.support.postgres import PostgresServer


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with filled(tmp_path_factory.mktemp("forms")) as server:
        yield server


def raw(
    gateway: GatewayProcess, path: str, headers: dict[str, str] | None = None, **parameters: Any
) -> tuple[httpx.Response, bytes]:
    """An answer, and its body as it came over the wire."""
    given = {"Accept-Encoding": "identity", **(headers or {})}
    with httpx.stream("GET", gateway.url + path, params=parameters, headers=given, timeout=60) as response:
        return response, b"".join(response.iter_raw())


def same(found: Sequence[Row], expected: Sequence[Row]) -> bool:
    """By repr(): it tells -0.0 from 0.0, and 21 from 21.0."""
    return list(map(repr, found)) == list(map(repr, expected))


class TestForms:
    """They agree with each other and with the tables, row for row and bit for bit."""

    @pytest.mark.parametrize("coding", CODINGS)
    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_all_rows(self, gateway: GatewayProcess, name: str, coding: str) -> None:
        headers = {"Accept": MEDIA_TYPES[name], "Accept-Encoding": coding}
        for order in ("asc", "desc"):
            wanted = {"sensor": SENSORS, "from": -1e9, "limit": "all", "order": order}
            response, body = raw(gateway, "/v1/readings", headers, **wanted)
            assert response.headers["content-type"].startswith(MEDIA_TYPES[name])
            compressed = coding != "identity" and name not in ("parquet", "arrow")
            assert response.headers.get("content-encoding") == (coding if compressed else None)
            found = rows_of(name, CODINGS[coding](body) if compressed else body)
            assert same(found, FEW if order == "asc" else FEW[::-1])

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_pages_join_to_the_same_rows(self, gateway: GatewayProcess, name: str) -> None:
        found: list[Row] = []
        url = f"{gateway.url}/v1/averages?format={name}&limit=999&from=-1e9"
        while url:
            page = httpx.get(url)
            found += rows_of(name, page.content.replace(b'"averages"', b'"readings"'))
            url = page.links["next"]["url"] if "next" in page.links else ""
        assert same(found, FEW)

    @pytest.mark.parametrize("order", ["asc", "desc"])
    def test_the_rest_behind_a_page_is_streamed(self, gateway: GatewayProcess, order: str) -> None:
        wanted = {"from": -1e9, "order": order}
        cursor = gateway.get("/v1/averages", limit=7, **wanted).json()["next"]
        body = gateway.get("/v1/averages", limit="all", format="ndjson", cursor=cursor, **wanted).content
        assert same(rows_of("ndjson", body), (FEW if order == "asc" else FEW[::-1])[7:])

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    @pytest.mark.parametrize("limit", ["all", 5])
    def test_nothing(self, gateway: GatewayProcess, name: str, limit: Any) -> None:
        body = gateway.get("/v1/readings", sensor=77, limit=limit, format=name).content
        assert rows_of(name, body) == []

    def test_the_original_has_the_same_rows_as_strings(self, gateway: GatewayProcess) -> None:
        rows = gateway.get("/temperature", sensor_num=4, timestamp_start=0, timestamp_end=9e9).json()
        ours = [(row["sensor_num"], float(row["timestamp"]), float(row["value"])) for row in rows]
        assert same(ours, [("4", *row[1:]) for row in FEW[::-1] if row[0] == 4])
        written = {row["value"] for row in rows}
        assert {"21.0", "-0.0", "1e+20", "22.5", "-123456789012345.0"} <= written

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_buckets(self, gateway: GatewayProcess, name: str) -> None:
        wanted = {"sensor": 4, "bucket": "1m", "agg": "count,first,max"}
        expected = gateway.get("/v1/readings", **wanted).json()["buckets"]
        assert sum(each["count"] for each in expected) == 5000
        body = gateway.get("/v1/readings", format=name, **wanted).content
        if name == "json":
            found = json.loads(body)["buckets"]
        elif name == "ndjson":
            found = [json.loads(line) for line in body.splitlines()]
        elif name == "csv":
            head, *lines = body.decode().splitlines()
            found = [dict(zip(head.split(","), map(float, line.split(",")), strict=True)) for line in lines]
        else:
            found = table_of(name, body).to_pylist()
        assert found == expected

    def test_a_mean_that_no_number_holds(self, gateway: GatewayProcess) -> None:
        wanted = {"sensor": 4, "bucket": "1d"}
        answer = gateway.get("/v1/readings", **wanted)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "agg")
        assert gateway.get("/v1/readings", agg="max", **wanted).json()["buckets"][0]["max"] == 1.7e308


class TestSamples:
    """`max_points`: the rows that draw the same line."""

    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize("points", [2, 3, 500])
    def test_of_a_million(self, gateway: GatewayProcess, points: int, order: str) -> None:
        process = psutil.Process(gateway.process.pid)
        gateway.get("/v1/readings", sensor=3, max_points=points)
        before = process.memory_info().rss
        answer = gateway.get("/v1/readings", sensor=[BIG, 4], max_points=points, order=order, to=OVER)
        assert process.memory_info().rss - before < 30_000_000
        document = answer.json()
        series = np.array([START + np.arange(BIG_ROWS) * 0.01, 20 + np.arange(BIG_ROWS) % 997 * 0.01])
        expected = [(BIG, *point) for point in zip(*sampled(series, points).tolist(), strict=True)]
        four = np.array([row[1:] for row in FEW if row[0] == 4]).T.copy()
        expected += [(4, *point) for point in zip(*sampled(four, points).tolist(), strict=True)]
        found = [(row["sensor"], row["timestamp"], row["value"]) for row in document["readings"]]
        assert found == (expected if order == "asc" else expected[::-1])
        told = {"method": "lttb", "max_points": points, "points": 2 * points, "of": BIG_ROWS + 5000}
        assert document["sampled"] == told
        assert (document["truncated"], document["next"]) == (False, None)

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_it_says_so_in_every_form(self, gateway: GatewayProcess, name: str) -> None:
        expected = gateway.get("/v1/averages", max_points=100, to=OVER).json()["averages"]
        answer = gateway.get("/v1/averages", max_points=100, to=OVER, format=name)
        assert answer.headers["sampled"] == f"lttb;max_points=100;points={len(expected)};of={len(FEW) - 1}"
        rows = rows_of(name, answer.content.replace(b'"averages"', b'"readings"'))
        assert rows == [tuple(row.values()) for row in expected]
        if name in ("parquet", "arrow"):
            assert table_of(name, answer.content).schema.metadata[b"max_points"] == b"100"

    def test_few_rows_are_all_there(self, gateway: GatewayProcess) -> None:
        document = gateway.get("/v1/readings", sensor=3, max_points=100).json()
        assert document["readings"] == [{"sensor": 3, "timestamp": START + 0.123456, "value": 20.0}]
        assert document["sampled"] == {"method": "lttb", "max_points": 100, "points": 1, "of": 1}
        nothing = gateway.get("/v1/readings", sensor=77, max_points=100).json()
        assert (nothing["readings"], nothing["sampled"]["of"]) == ([], 0)

    @pytest.mark.parametrize(
        "parameters",
        [
            {"max_points": 1},
            {"max_points": 10_001},
            {"max_points": "1e3"},
            {"max_points": "٣"},
            {"max_points": 5, "bucket": "1m"},
            {"max_points": 5, "limit": 10},
            {"max_points": 5, "cursor": "WzEsMl0"},
        ],
    )
    def test_what_is_wrong_is_named(self, gateway: GatewayProcess, parameters: dict[str, Any]) -> None:
        answer = gateway.get("/v1/readings", **parameters)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["max_points"]
