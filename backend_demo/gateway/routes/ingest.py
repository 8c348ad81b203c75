"""Readings by HTTP: POST /v1/readings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPBasic
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from backend_demo.described import described
from backend_demo.domain.reading import Reading, Rejected, decode_payload
from backend_demo.gateway import problems
from backend_demo.gateway.disconnect import ClientGone
from backend_demo.gateway.edge.http_protocol import MORE_TIME
from backend_demo.gateway.ingest.coding import CODINGS, CodingInvalid, Decompressor
from backend_demo.gateway.ingest.intake import Acknowledged, IngestPart, Intake, RefusedItem
from backend_demo.gateway.ingest.items import CsvRows, HeaderInvalid, ItemReader, JsonObjects
from backend_demo.gateway.ingest.publisher import basic
from backend_demo.gateway.ingest.split import JsonItems, LineItems, Splitter
from backend_demo.gateway.ingest.writer import KafkaAway, ReadingWriter, TooBusy
from backend_demo.mqtt.users import CheckBusy, Rights, Users
from backend_demo.settings import Settings

#: Size of what is sent to Kafka together: bytes, and records with dead letters.
PART_BYTES, PART_ITEMS = 500_000, 5000
#: Time limit of a whole request, seconds.
REQUEST_MAX_S = 60.0

router = APIRouter(prefix="/v1", tags=["v1"])

_JSON, _NDJSON, _CSV = "application/json", "application/x-ndjson", "text/csv"
_READERS: dict[str, tuple[Callable[[int], Splitter], Callable[[Any], ItemReader]]] = {
    _JSON: (JsonItems, JsonObjects),
    _NDJSON: (LineItems, JsonObjects),
    "application/ndjson": (LineItems, JsonObjects),
    _CSV: (LineItems, CsvRows),
}
_ACCEPT = f"{_JSON}, {_NDJSON}, {_CSV}"
_ACCEPT_ENCODING = "gzip, zstd"


@described
@dataclass(frozen=True)
class Received:
    """What became of the readings of one request."""

    accepted: int
    """Readings that Kafka has acknowledged; also those that it had before."""
    refused: int
    """Items that are not used; each has become a dead letter."""
    refusals: list[RefusedItem]
    """Why: one entry per refused item, for the first 1000."""
    refused_more: int
    """Refused items that the list leaves out."""


def received(progress: Acknowledged) -> Received:
    """The answer for what has been acknowledged so far."""
    return Received(progress.accepted, progress.refused, progress.listed, progress.refused - len(progress.listed))


_EXAMPLE = [
    {"sensor": 7, "value": 21.5, "timestamp": 1664000000.25},
    {"sensor": 8, "value": "19.5", "timestamp": "2022-09-24T06:13:20Z"},
]
_ANSWER = {
    "accepted": 1,
    "refused": 1,
    "refusals": [{"index": 1, "reason": "range", "detail": "999.0 is not in -100.0 to 200.0"}],
    "refused_more": 0,
}
_ITEM = {
    "type": "object",
    "required": ["sensor", "value", "timestamp"],
    "properties": {
        "sensor": {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}],
            "description": "Sensor number or name.",
        },
        "value": {"anyOf": [{"type": "number"}, {"type": "string"}], "description": "Degrees Celsius."},
        "timestamp": {
            "anyOf": [{"type": "number"}, {"type": "string"}],
            "description": "The sensor's time: epoch seconds, or RFC 3339.",
        },
    },
}
_BODY = {
    "required": True,
    "content": {
        _JSON: {"schema": {"anyOf": [_ITEM, {"type": "array", "items": _ITEM}]}, "example": _EXAMPLE},
        _NDJSON: {
            "schema": {"type": "string"},
            "example": "".join(msgspec.json.encode(item).decode() + "\n" for item in _EXAMPLE),
        },
        _CSV: {"schema": {"type": "string"}, "example": "sensor,timestamp,value\n7,1664000000.25,21.5\n"},
    },
}


class _MqttUser(HTTPBasic):
    """Only documents in OpenAPI that a user is required; `IngestGate` checks it."""

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        return None


@router.post(
    "/readings",
    response_model=Received,
    summary="Send readings",
    dependencies=[Depends(_MqttUser(scheme_name="mqtt-user"))],
    openapi_extra={"requestBody": _BODY},
    responses={
        200: {"content": {_JSON: {"example": _ANSWER}}},
        **problems.responses(
            _400="The body is not what its `Content-Encoding` says.",
            _401="HTTP Basic with the name and the password of an MQTT user is required.",
            _403="This gateway has no MQTT users; or a page of another origin asks.",
            _408="The body did not arrive in time.",
            _413="The body, decompressed, is larger than `ingest_max_bytes`; `accepted` readings are stored.",
            _415="The media type or the coding of the body is not supported.",
            _422="Not one item was accepted: `refusals` has the reasons; or the first line of CSV names no columns.",
            _503="Kafka is unavailable, or too much is in progress; `accepted` readings are stored; send all again.",
        ),
    },
)
async def send_readings(request: Request) -> Response:
    """As a JSON object or array, NDJSON or CSV, plain or compressed (gzip, zstd).

    Answers when Kafka has acknowledged everything. A reading is identified by sensor and timestamp, so that sending it
    again is harmless.
    """
    gate: IngestGate = request.app.state.ingest
    rights = await gate.rights(request)
    if isinstance(rights, Response):
        return rights
    return await gate.answer(request, rights)


class IngestGate:
    """Decides about the head of a request, then reads its body."""

    def __init__(self, settings: Settings, users: Users | None, writer: ReadingWriter) -> None:
        """`users`: None: nobody may publish."""
        self._settings = settings
        self._users = users
        self._writer = writer
        self._bytes_max = settings.ingest_max_bytes

    async def rights(self, request: Request) -> Rights | Response:
        """What the user may do, or the refusal."""
        given = basic(request.headers.get("authorization", ""))
        if given is None:
            return _unauthorized("send the name and password of an MQTT user: Authorization: Basic ...")
        if self._users is None:
            detail = "this gateway knows no MQTT users: set mqtt_users_file"
            return problems.problem(403, "no_users", detail)
        origin = request.client.host if request.client else ""
        try:
            rights = await self._users.check(*given, origin)
        except CheckBusy:
            return _failed(503, "too_busy", "too many passwords are being checked", Acknowledged())
        return rights if rights is not None else _unauthorized("unknown user, or wrong password")

    async def answer(self, request: Request, rights: Rights) -> Response:
        """Reads the body, and answers when all of it is acknowledged, or as soon as it cannot be."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        coding = request.headers.get("content-encoding", "").strip().lower()
        if media_type not in _READERS:
            detail = f"the Content-Type is {media_type or 'missing'!r:.80}, expected one of {_ACCEPT}"
            return problems.problem(415, "unsupported_media_type", detail, {"Accept": _ACCEPT})
        if coding not in CODINGS:
            detail = f"the Content-Encoding is {coding!r:.80}, expected one of {_ACCEPT_ENCODING}"
            return problems.problem(415, "unsupported_coding", detail, {"Accept-Encoding": _ACCEPT_ENCODING})
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._bytes_max:
            return self._too_large(Acknowledged())
        splitter, reader = _READERS[media_type]
        intake = Intake(
            splitter(self._settings.max_payload_bytes),
            reader(self._decode),
            may_publish=rights.may_publish,
            value_min=self._settings.value_min,
            value_max=self._settings.value_max,
        )
        progress = Acknowledged()
        try:
            self._writer.check()
            async with self._writer.turn(), asyncio.timeout(REQUEST_MAX_S):
                await self._read(request, CODINGS[coding](), intake, progress)
        except _TooLarge:
            return self._too_large(progress)
        except TimeoutError:
            return _failed(408, "request_timeout", f"the request took more than {REQUEST_MAX_S:.0f} s", progress)
        except CodingInvalid as problem:
            return _failed(400, "bad_content_encoding", str(problem), progress)
        except HeaderInvalid as problem:
            return problems.problem(422, "invalid_header", str(problem))
        except KafkaAway:
            return _failed(503, "kafka_unavailable", "Kafka has not acknowledged the readings in time", progress)
        except TooBusy:
            return _failed(503, "too_busy", "too many requests with readings are in progress", progress)
        except ClientDisconnect:
            # the last item may be cut off: it is not even looked at
            return Response(status_code=ClientGone.status)
        if not progress.accepted:
            detail = f"no reading was accepted; the first refusal: {progress.listed[0].detail}"
            return problems.problem(422, "nothing_accepted", detail, **_members(progress))
        return Response(msgspec.json.encode(received(progress)), media_type=_JSON)

    async def _read(self, request: Request, coding: Decompressor, intake: Intake, progress: Acknowledged) -> None:
        async for piece in self._pieces(request, coding):
            intake.feed(piece)
            if intake.part.size >= PART_BYTES or len(intake.part.records) + len(intake.part.refusals) >= PART_ITEMS:
                await self._write(intake.take(), progress)
            else:
                await asyncio.sleep(0)  # other requests have their turn after a millisecond
        intake.end()
        await self._write(intake.take(), progress)

    async def _pieces(self, request: Request, coding: Decompressor) -> AsyncIterator[bytes]:
        """The decompressed body. Raises _TooLarge, CodingInvalid, ClientDisconnect."""
        raw = size = 0
        more_time = request.scope["extensions"][MORE_TIME]["more_time"]
        async for data in request.stream():
            more_time()
            raw += len(data)
            for piece in coding.feed(data):
                size += len(piece)
                if size > self._bytes_max:
                    raise _TooLarge
                yield piece
            if raw > self._bytes_max:
                raise _TooLarge
        coding.end()

    async def _write(self, part: IngestPart, progress: Acknowledged) -> None:
        await self._writer.write(part)
        progress.add(part)

    def _decode(self, sensor: int, payload: bytes) -> Reading | Rejected:
        now = time.time()
        found = decode_payload(
            sensor,
            payload,
            now=now,
            future_tolerance_s=self._settings.future_tolerance_s,
            time_min=self._settings.earliest(now),
        )
        return found[0]

    def _too_large(self, progress: Acknowledged) -> Response:
        return _failed(413, "content_too_large", f"the body is larger than {self._bytes_max} bytes", progress)


class _TooLarge(Exception):
    """The body is larger than the limit."""


def _members(progress: Acknowledged) -> dict[str, Any]:
    return msgspec.to_builtins(received(progress))  # type: ignore[no-any-return]


def _failed(status: int, code: str, detail: str, progress: Acknowledged) -> Response:
    """The answer to a request that was not read to its end."""
    retry = {"Retry-After": str(problems.RETRY_AFTER_S)} if status == 503 else None
    return problems.problem(status, code, detail, retry, **_members(progress))


def _unauthorized(detail: str) -> Response:
    return problems.problem(401, "unauthorized", detail, {"WWW-Authenticate": 'Basic realm="bdemo", charset="UTF-8"'})
