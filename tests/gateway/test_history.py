"""/v1/readings, /v1/averages and /v1/sensors, on a real PostgreSQL."""

import csv
import io
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.support.gateway import GatewayProcess, serving
from tests.support.postgres import migrated

START = 1_700_000_000.0

#: Sensors with so many readings, one a second.
READINGS = {1: 10, 2: 1, 7: 3000, 9_000_000_000_000_000_000: 5}

ROWS = [(sensor, START + i, 20 + i % 10) for sensor, count in READINGS.items() for i in range(count)]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with migrated(tmp_path_factory.mktemp("history")) as server:
        for sensor, count in READINGS.items():
            for table, shift in (("temperature", 0), ("average", 0.25)):
                server.sql(
                    f"insert into {table} (sensor_num, timestamp, value) "
                    f"select {sensor}, {START} + i, 20 + i % 10 + {shift} from generate_series(0, {count - 1}) i"
                )
        with serving(server.dsn("bdemo_reader")) as process:
            yield process


def rows_of(document: dict[str, Any], name: str = "readings") -> list[tuple[int, float, float]]:
    return [(row["sensor"], row["timestamp"], row["value"]) for row in document[name]]


class TestPages:
    """By sensor and time, each row once, whatever the page's size."""

    @pytest.mark.parametrize("limit", [7, 1000, 10_000])
    @pytest.mark.parametrize("order", ["asc", "desc"])
    def test_pages_join_to_the_whole(self, gateway: GatewayProcess, limit: int, order: str) -> None:
        wanted = {"from": START + 1, "to": START + 2000, "limit": limit, "order": order}
        if limit == 7:
            wanted["sensor"] = [1, 2, 9_000_000_000_000_000_000]
        expected = [
            row for row in ROWS if START + 1 <= row[1] <= START + 2000 and row[0] in wanted.get("sensor", READINGS)
        ]
        found, cursor = [], None
        for _ in itertools.count():
            page = gateway.get("/v1/readings", **wanted, **({"cursor": cursor} if cursor else {})).json()
            found += rows_of(page)
            cursor = page["next"]
            assert page["truncated"] == (cursor is not None)
            if cursor is None:
                break
            assert len(page["readings"]) == limit
        assert found == (expected if order == "asc" else expected[::-1])

    def test_the_link_leads_to_the_next_page(self, gateway: GatewayProcess) -> None:
        first = gateway.get("/v1/averages", limit=4)
        second = httpx.get(first.links["next"]["url"])
        assert rows_of(second.json(), "averages") == [(s, t, v + 0.25) for s, t, v in ROWS[4:8]]

    def test_a_cursor_of_another_query_is_refused(self, gateway: GatewayProcess) -> None:
        """It would skip rows in silence."""
        cursor = gateway.get("/v1/readings", limit=4).json()["next"]
        answer = gateway.get("/v1/readings", limit=4, cursor=cursor, order="desc")
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "cursor"
        assert gateway.get("/v1/averages", limit=4, cursor=cursor).status_code == 422

    @pytest.mark.parametrize("cursor", ["", "x", "AAAA", "WzEsMl0", "a" * 201, "é"])
    def test_a_cursor_that_is_none(self, gateway: GatewayProcess, cursor: str) -> None:
        answer = gateway.get("/v1/readings", cursor=cursor)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")

    def test_times_may_be_written_as_rfc_3339(self, gateway: GatewayProcess) -> None:
        found = gateway.get(
            "/v1/readings", **{"sensor": 7, "from": "2023-11-14T22:13:21Z", "to": "2023-11-14T23:13:22+01:00"}
        )
        assert [row["timestamp"] - START for row in found.json()["readings"]] == [1, 2]

    def test_nothing_is_an_empty_list(self, gateway: GatewayProcess) -> None:
        document = gateway.get("/v1/readings", sensor=8).json()
        assert document == {"readings": [], "truncated": False, "next": None}

    @pytest.mark.parametrize(
        ("parameters", "field"),
        [
            ({"from": "yesterday"}, "from"),
            ({"from": 2, "to": 1}, "to"),
            ({"to": "nan"}, "to"),
            ({"limit": 0}, "limit"),
            ({"limit": 10_001}, "limit"),
            ({"limit": "٣"}, "limit"),
            ({"order": "up"}, "order"),
            ({"format": "xml"}, "format"),
            ({"sensor": [1, "-1"]}, "sensor.1"),
            ({"sensor_num": 1}, "sensor_num"),
        ],
    )
    def test_what_is_wrong_is_named(self, gateway: GatewayProcess, parameters: dict[str, Any], field: str) -> None:
        answer = gateway.get("/v1/readings", **parameters)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]


class TestForms:
    """The same rows as JSON, CSV and NDJSON, by parameter or by `Accept`."""

    @pytest.mark.parametrize("how", ["parameter", "header"])
    def test_all_rows_in_every_form(self, gateway: GatewayProcess, how: str) -> None:
        def get(form: str, media_type: str) -> httpx.Response:
            parameters = {"format": form} if how == "parameter" else {}
            headers = {"Accept": f"{media_type}, */*;q=0.1"} if how == "header" else {}
            answer = gateway.get("/v1/readings", headers, limit="all", **parameters)
            assert answer.headers["content-type"].startswith(media_type)
            return answer

        document = get("json", "application/json").json()
        assert rows_of(document) == ROWS
        assert (document["truncated"], document["next"]) == (False, None)
        lines = list(csv.DictReader(io.StringIO(get("csv", "text/csv").text)))
        assert [(int(line["sensor"]), float(line["timestamp"]), float(line["value"])) for line in lines] == ROWS
        documents = [json.loads(line) for line in get("ndjson", "application/x-ndjson").text.splitlines()]
        assert rows_of({"readings": documents}) == ROWS

    def test_a_form_that_is_not_here(self, gateway: GatewayProcess) -> None:
        answer = gateway.get("/v1/readings", {"Accept": "image/png"})
        assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")

    def test_csv_is_whole_unless_pages_are_asked_for(self, gateway: GatewayProcess) -> None:
        assert len(gateway.get("/v1/readings", format="csv").text.splitlines()) == len(ROWS) + 1
        page = gateway.get("/v1/readings", format="csv", limit=10)
        assert len(page.text.splitlines()) == 11
        assert "next" in page.links


class TestSensors:
    """What is known of each."""

    def test_pages_of_sensors(self, gateway: GatewayProcess) -> None:
        first = gateway.get("/v1/sensors", limit=3).json()
        assert (first["truncated"], first["next"]) == (True, 7)
        rest = gateway.get("/v1/sensors", limit=3, after=7).json()
        assert (rest["truncated"], rest["next"]) == (False, None)
        found = {sensor["sensor"]: sensor["count"] for sensor in first["sensors"] + rest["sensors"]}
        assert found == READINGS

    def test_a_sensor(self, gateway: GatewayProcess) -> None:
        assert gateway.get("/v1/sensors/7").json() == {
            "sensor": 7,
            "count": 3000,
            "first": START,
            "last": START + 2999,
            "last_value": 29,
            "last_average": 29.25,
            "name": None,
        }

    def test_an_unknown_sensor_is_not_found_and_near_ones_are_named(self, gateway: GatewayProcess) -> None:
        answer = gateway.get("/v1/sensors/5")
        assert (answer.status_code, answer.json()["code"], answer.json()["known"][:3]) == (
            404,
            "unknown_sensor",
            [1, 2, 7],
        )

    @pytest.mark.parametrize("given", ["-1", "%20two", "9223372036854775808"])
    def test_what_is_no_sensor(self, gateway: GatewayProcess, given: str) -> None:
        assert gateway.get(f"/v1/sensors/{given}").status_code == 422


class TestBuckets:
    """Summed up by time, as the calendar of a zone has it."""

    def test_minutes_from_the_full_minute(self, gateway: GatewayProcess) -> None:
        """The first reading is at 22:13:20."""
        wanted = {"bucket": "1m", "agg": "count,min,max,mean,first,last", "limit": 2, "sensor": 7}
        document = gateway.get("/v1/readings", **wanted).json()
        values = [20 + i % 10 for i in range(100)]
        expected = [
            {"sensor": 7, "from": START - 20, **summed(values[:40])},
            {"sensor": 7, "from": START + 40, **summed(values[40:100])},
        ]
        assert document["buckets"] == expected
        assert document["truncated"]

    def test_pages_join_to_the_whole(self, gateway: GatewayProcess) -> None:
        for order in ("asc", "desc"):
            found, url = [], f"{gateway.url}/v1/averages?bucket=7m&agg=count&limit=3&order={order}"
            while url:
                page = httpx.get(url)
                found += [(each["sensor"], each["from"], each["count"]) for each in page.json()["buckets"]]
                url = page.links["next"]["url"] if "next" in page.links else ""
            assert sum(count for _, _, count in found) == len(ROWS)
            keys = [key[:2] for key in found]
            assert keys == sorted(set(keys), reverse=order == "desc")

    @pytest.mark.parametrize(
        ("zone", "begins"),
        [("UTC", ["2023-11-14T00:00:00Z"]), ("Europe/Berlin", ["2023-11-13T23:00:00Z", "2023-11-14T23:00:00Z"])],
    )
    def test_days_begin_at_midnight_there(self, gateway: GatewayProcess, zone: str, begins: list[str]) -> None:
        """Sensor 7 sends from 22:13:20 to 23:03:19 UTC."""
        document = gateway.get("/v1/readings", sensor=7, bucket="1d", agg="count", tz=zone).json()
        times = [datetime.fromtimestamp(each["from"], UTC) for each in document["buckets"]]
        found = [time.strftime("%Y-%m-%dT%H:%M:%SZ") for time in times]
        assert found == begins
        assert sum(each["count"] for each in document["buckets"]) == 3000

    def test_as_csv(self, gateway: GatewayProcess) -> None:
        text = gateway.get("/v1/readings", sensor=1, bucket="1h", agg="count,last", format="csv").text
        assert text == f"sensor,from,count,last\r\n1,{START - 800},10,29.0\r\n"

    @pytest.mark.parametrize(
        ("parameters", "field"),
        [
            ({"bucket": "5"}, "bucket"),
            ({"bucket": "1m", "agg": "median"}, "agg"),
            ({"bucket": "1m", "agg": "min,min"}, "agg"),
            ({"bucket": "1m", "tz": "Mars/Olympus"}, "tz"),
            ({"bucket": "1m", "tz": "UTC'; --"}, "tz"),
            ({"bucket": "1m", "limit": "all"}, "limit"),
        ],
    )
    def test_what_is_wrong_is_named(self, gateway: GatewayProcess, parameters: dict[str, Any], field: str) -> None:
        answer = gateway.get("/v1/readings", **parameters)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]


def summed(values: list[int]) -> dict[str, float]:
    return {
        "count": len(values),
        "min": min(values),
        "max": max(values),
        "mean": pytest.approx(sum(values) / len(values)),
        "first": values[0],
        "last": values[-1],
    }
