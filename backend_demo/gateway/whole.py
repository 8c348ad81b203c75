"""Answers that are made at once: pages, buckets, samples. In every form, with what tells whether they have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.responses import Response

from backend_demo.gateway import caching, columnar, formats
from backend_demo.gateway.offload import offload

#: To make more rows than so many takes so long that another thread does it.
_MANY = 1000


@dataclass(frozen=True)
class Table:
    """Rows, and what is told of them."""

    array: str
    """What a JSON document calls them."""
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    following: str | None = None
    """The cursor of the next page."""
    sampled: dict[str, str | int] = field(default_factory=dict)
    """How they were chosen, if they are not all."""


async def answer(request: Request, table: Table, name: formats.Name, *, over: bool) -> Response:
    """`over`: the rows are of a time that is past."""
    made = offload(_made, table, name) if len(table.rows) > _MANY else None
    body, media_type, etag = await made if made else _made(table, name)
    headers = caching.closed(etag) if over else dict(caching.OPEN)
    if table.following is not None:
        headers["Link"] = f'<{request.url.include_query_params(cursor=table.following)}>; rel="next"'
    if table.sampled:
        headers["Sampled"] = ";".join([str(table.sampled["method"]), *_parameters(table.sampled)])
    if over and caching.matches(request.headers.get("if-none-match"), etag):
        return Response(None, 304, headers)
    return Response(body, media_type=media_type, headers=headers)


def _parameters(sampled: dict[str, str | int]) -> list[str]:
    return [f"{name}={value}" for name, value in sampled.items() if name != "method"]


def _made(table: Table, name: formats.Name) -> tuple[bytes, str, str]:
    """Body, media type and ETag."""
    if formats.is_columnar(name):
        columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
        body = columnar.document(name, table.columns, columns, {key: str(told) for key, told in table.sampled.items()})
        media_type = columnar.MEDIA_TYPES[name]
    else:
        members = {"sampled": table.sampled} if table.sampled else {}
        form = formats.form(name, table.array, table.columns, following=table.following, **members)
        body, media_type = form.document(table.rows).encode(), form.media_type
    return body, media_type, caching.etag(body)
