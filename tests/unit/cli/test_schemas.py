"""What the commands print as JSON is what the published schemas say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema_rs
import pytest

from backend_demo.cli import render, verify
from backend_demo.cli.env import Document as Env
from backend_demo.cli.migrate import Document as Migrated
from backend_demo.cli.schemas import DOCUMENTS, json_schemas
from backend_demo.domain.verdict import Finding, Verdict
from backend_demo.errors import NoStack
from tests.support.schemas import check


@pytest.mark.parametrize("name", json_schemas())
def test_a_schema_is_a_schema(name: str) -> None:
    jsonschema_rs.meta.validate(json_schemas()[name])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_names_its_schema_first(name: str) -> None:
    schema = json_schemas()[name]
    assert next(iter(schema["properties"])) == "schema"
    assert schema["properties"]["schema"]["const"] == schema["$id"] == name
    assert "schema" in schema["required"]


def wrong_verdict() -> Verdict:
    found = Verdict(ledger=3, acked=3, readings=3, averages=3, last_seen={"": 1})
    found.lost.add(Finding(7, 1.5, 21.0, None))
    found.average_wrong.add(Finding(7, 1.5, 21.0, 22.0))
    return found


@pytest.mark.parametrize(
    "result",
    [
        Env(variables={"BDEMO_MQTT_HOST": "127.0.0.1"}),
        Migrated(created_topics=None, migrated_tables=True),
        Migrated(created_topics=["src-data"], migrated_tables=False),
        verify.document(Verdict()),
        verify.document(wrong_verdict()),
    ],
    ids=lambda result: type(result).__module__,
)
def test_a_result_fits_its_schema(result: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert dataclasses.is_dataclass(result)
    assert not isinstance(result, type)
    render.show(result, "json", lambda _: ())
    check(json.loads(capsys.readouterr().out))


def test_an_error_fits_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    render.report(NoStack(Path("nowhere")), as_json=True)
    check(json.loads(capsys.readouterr().out))


def test_a_wrong_document_is_found() -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        check({"schema": "bdemo.env/1", "variables": {"BDEMO_MQTT_PORT": 1883}})
    with pytest.raises(jsonschema_rs.ValidationError):
        check({"schema": "bdemo.env/1", "variables": {}, "more": 1})


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "1 reading in the tables was sent by nobody"),
        (2_000, "2,000 readings in the tables were sent by nobody"),
    ],
)
def test_what_is_wrong_is_counted_in_sentences(count: int, text: str) -> None:
    found = Verdict(ledger=0, acked=0)
    for _ in range(count):
        found.invented.add(Finding(1, 1.0, None, 20.0))
    problem = verify.problem(found)
    assert problem is not None
    assert problem.message == text
