"""The gateway keeps what its OpenAPI document promises, whatever schemathesis sends."""

from collections.abc import Iterator

import pytest
import schemathesis

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from tests.support.gateway import GatewayProcess, serving
from tests.support.kafka import brokers, environment
from tests.support.openapi import TOO_STRICT, generated, schema
from tests.support.postgres import migrated

START = 1_700_000_000.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, running: tuple[Settings, Stack]) -> Iterator[GatewayProcess]:
    """With the suite's Kafka, and readings of its own."""
    kafka = environment(brokers(running[0]))
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
