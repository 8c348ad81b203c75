"""Documented examples are valid answers of their routes, and schemas require what is always present."""

from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from backend_demo.gateway.routes import averages, dead_letters, health, latest, readings, sensors, stats

ROUTES = [
    route
    for module in (averages, dead_letters, health, latest, readings, sensors, stats)
    for route in module.router.routes
    if isinstance(route, APIRoute) and route.response_model is not None
]


def examples(answer: dict[str, Any]) -> list[Any]:
    content = answer.get("content", {}).get("application/json", {})
    return [each["value"] for each in content.get("examples", {}).values()] + (
        [content["example"]] if "example" in content else []
    )


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_examples_are_valid_answers(route: APIRoute) -> None:
    answer = TypeAdapter(route.response_model)
    shown = examples(route.responses[200])
    assert shown
    for example in shown:
        found = answer.dump_python(answer.validate_python(example), mode="json", by_alias=True, exclude_unset=True)
        assert {name: found[name] for name in example} == example


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_the_schema_requires_what_is_always_present(route: APIRoute) -> None:
    schema = TypeAdapter(route.response_model).json_schema(mode="serialization")
    for kind in [schema, *schema.get("$defs", {}).values()]:
        if "properties" in kind and "Model" not in kind["title"]:
            assert kind["required"] == list(kind["properties"])
