"""The gateway keeps what its OpenAPI document promises while PostgreSQL is away, whatever schemathesis sends."""

from collections.abc import Iterator

import pytest
import schemathesis
from schemathesis.checks import not_a_server_error

from tests.support.gateway import GatewayProcess, serving
from tests.support.openapi import TOO_STRICT, generated, schema
from tests.support.postgres import migrated


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
