"""The gateway keeps what its OpenAPI document promises, whatever schemathesis sends; also while PostgreSQL is away."""

import os
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from backend_demo.gateway.app import create_app
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from tests.integration.gateway import GatewayProcess, serving
from tests.integration.postgres import migrated

START = 1_700_000_000.0

#: Of each operation; the same ones in every run. More, and other ones: `EXAMPLES=1000 pytest ...`.
EXAMPLES = int(os.environ.get("EXAMPLES", "40"))

#: A schema cannot say that a range must not end before it begins.
TOO_STRICT = [positive_data_acceptance]

#: These never end by themselves, or publish: test_live.py and test_traces.py have them.
ENDLESS = ["/v1/stream", "/v1/traces"]

schema = schemathesis.openapi.from_dict(create_app(Settings()).openapi()).exclude(path=ENDLESS)

generated = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, running: tuple[Settings, Stack]) -> Iterator[GatewayProcess]:
    """With the suite's Kafka, and readings of its own."""
    kafka = {"BDEMO_KAFKA_BOOTSTRAP": running[0].kafka_bootstrap}
    with migrated(tmp_path_factory.mktemp("openapi")) as server:
        for table in ("temperature", "average"):
            server.sql(
                f"insert into {table} (sensor_num, timestamp, value) "
                f"select s, {START} + i, 20 + i % 7 from generate_series(0, 9) s, generate_series(0, 299) i"
            )
        with serving(server.dsn("bdemo_reader"), settings=kafka) as process:
            yield process


@schema.parametrize()
@generated
def test_what_is_promised_is_kept(case: schemathesis.Case, gateway: GatewayProcess) -> None:
    case.call_and_validate(base_url=gateway.url, excluded_checks=TOO_STRICT)


@pytest.fixture(scope="module")
def orphan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway whose PostgreSQL has gone."""
    with (
        migrated(tmp_path_factory.mktemp("gone")) as server,
        serving(server.dsn("bdemo_reader")) as process,
    ):
        server.end()
        yield process


@schema.parametrize()
@generated
def test_without_postgresql_too(case: schemathesis.Case, orphan: GatewayProcess) -> None:
    response = case.call(base_url=orphan.url)
    assert response.status_code < 500 or response.status_code == 503, response.content
    case.validate_response(response, excluded_checks=[*TOO_STRICT, not_a_server_error])
