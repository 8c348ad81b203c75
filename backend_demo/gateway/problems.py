"""Errors as problem documents (RFC 9457), which say what is wrong and in which parameter."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend_demo.storage.pool import DatabaseUnavailable, QueryTooLong

MEDIA_TYPE = "application/problem+json"
#: Value of `Retry-After`, seconds: PostgreSQL is back 0.3 to 3 s after a crash.
RETRY_AFTER_S = 2

log = structlog.get_logger()

_SCHEMA = {
    "title": "Problem",
    "description": "A problem document (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "description": "about:blank: the title describes the problem."},
        "title": {"type": "string", "description": "The HTTP status in words."},
        "status": {"type": "integer"},
        "code": {
            "type": "string",
            "description": "An identifier for programs; it stays the same when the texts change.",
        },
        "detail": {"type": "string", "description": "What is wrong with this request."},
        "errors": {
            "type": "array",
            "description": "With `invalid_parameters`: what is wrong with each parameter.",
            "items": {
                "type": "object",
                "required": ["field", "reason"],
                "properties": {"field": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
    },
}


def problem(
    status: int, code: str, detail: str = "", headers: dict[str, str] | None = None, **members: object
) -> Response:
    """A problem document; `members` are additional members of this `code`."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        **({"detail": detail} if detail else {}),
        **members,
    }
    return Response(msgspec.json.encode(document), status, headers, MEDIA_TYPE)


def responses(**described: str) -> dict[int | str, dict[str, Any]]:
    """Documents the problems of a route in OpenAPI: `responses(_422="...", _503="...")`."""
    return {
        int(status.removeprefix("_")): {"description": text, "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}
        for status, text in described.items()
    }


def install(app: FastAPI) -> None:
    """Turns every error of the application into a problem document."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(DatabaseUnavailable, _unavailable)
    app.add_exception_handler(QueryTooLong, _too_long)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


_PLAIN_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a parameter of this route",
    "json_invalid": "is not valid JSON",
    "model_attributes_type": "is not a JSON object",
}


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - narrows a type
    return invalid(error)


def invalid(error: RequestValidationError) -> Response:
    """The answer to invalid parameters."""
    errors = [{"field": _field(*found["loc"]), "reason": _reason(found)} for found in error.errors()]
    detail = "; ".join(f"{found['field']}: {found['reason']}" for found in errors[:3])
    return problem(422, "invalid_parameters", detail, errors=errors)


def _field(where: str, *parts: str | int) -> str:
    """The name of a parameter or member. In a body that is not JSON, the location is a number of bytes: just `body`."""
    whole = where == "body" and not any(isinstance(part, str) for part in parts)
    return where if whole else ".".join(map(str, parts)) or where


def _reason(found: dict[str, Any]) -> str:
    if found["type"] in _PLAIN_WORDS:
        return _PLAIN_WORDS[found["type"]]
    message = str(found["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


async def _unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, DatabaseUnavailable)  # noqa: S101 - narrows a type
    return unavailable(error)


async def _too_long(request: Request, error: Exception) -> Response:
    assert isinstance(error, QueryTooLong)  # noqa: S101 - narrows a type
    return problem(504, error.code, f"{error.message}: request a shorter range, or fewer sensors")


def unavailable(error: DatabaseUnavailable) -> Response:
    """The answer while the database is unavailable."""
    return problem(503, error.code, error.message, {"Retry-After": str(RETRY_AFTER_S)})


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - narrows a type
    phrase = HTTPStatus(error.status_code).phrase
    detail = error.detail if error.detail != phrase else f"{request.method} {request.url.path}"
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_allowed(request, headers.get("Allow", "GET"))))
    return problem(error.status_code, phrase.lower().replace(" ", "_"), detail, headers)


def _allowed(request: Request, known: str) -> set[str]:
    """The methods of a path. Starlette knows those of one route only, and a path may have one for each method."""
    described = request.app.openapi()["paths"].get(request.url.path, {})
    found = {*known.split(", "), *(method.upper() for method in described)}
    return found | {"HEAD"} if "GET" in found else found


async def _bug(request: Request, error: Exception) -> Response:
    # Starlette raises it again, and uvicorn logs it with its traceback
    return problem(500, "unexpected", "a bug in the gateway; see its log for the traceback")
