"""Answers built in one piece, in every format and with ETags: pages, buckets, down-sampled rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import Request
from starlette.responses import Response

from backend_demo.described import described
from backend_demo.gateway.offload import offload
from backend_demo.gateway.rows import columnar, etags, formats

#: Number of rows beyond which a thread encodes them.
_MANY = 1000


@described
@dataclass(frozen=True)
class Sampled:
    """The rows are a selection that draws the same line as all rows."""

    method: str
    """How the rows were chosen."""
    max_points: int
    """The maximum number of rows for each sensor."""
    points: int
    """Number of rows in this answer."""
    of: int
    """Number of rows in the range."""

    @property
    def bounds(self) -> dict[str, int]:
        """Everything but the method, by name."""
        return {"max_points": self.max_points, "points": self.points, "of": self.of}


@dataclass(frozen=True)
class Page:
    """Rows, and what the answer says about them."""

    array: str
    """Their name in a JSON document."""
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    following: str | None = None
    """The cursor of the next page."""
    sampled: Sampled | None = None
    """How they were chosen, if they are not all."""


async def page_response(request: Request, page: Page, name: formats.FormatName, *, over: bool) -> Response:
    """Encodes the rows; `over`: their range has ended."""
    made = offload(_made, page, name) if len(page.rows) > _MANY else None
    body, media_type, etag = await made if made else _made(page, name)
    headers = etags.closed(etag) if over else dict(etags.OPEN)
    if page.following is not None:
        headers["Link"] = f'<{request.url.include_query_params(cursor=page.following)}>; rel="next"'
    if page.sampled:
        bounds = (f"{name}={value}" for name, value in page.sampled.bounds.items())
        headers["Sampled"] = ";".join([page.sampled.method, *bounds])
    if over and etags.matches(request.headers.get("if-none-match"), etag):
        return Response(None, 304, headers)
    return Response(body, media_type=media_type, headers=headers)


def _made(page: Page, name: formats.FormatName) -> tuple[bytes, str, str]:
    """Body, media type and ETag."""
    if formats.is_columnar(name):
        columns = list(zip(*page.rows, strict=True)) or [()] * len(page.columns)
        metadata = {name: str(value) for name, value in asdict(page.sampled).items()} if page.sampled else None
        body = columnar.document(name, page.columns, columns, metadata)
        media_type = columnar.MEDIA_TYPES[name]
    else:
        members = {"sampled": page.sampled} if page.sampled else {}
        form = formats.form(name, page.array, page.columns, following=page.following, **members)
        body, media_type = form.document(page.rows).encode(), form.media_type
    return body, media_type, etags.etag(body)
