"""The types of what the commands print with `-o json`, by schema: documents, and the lines of streams.

`docs/generate.py` writes the JSON Schema of each to `docs/reference/schemas/`.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from backend_demo.cli import backup, down, env, logs, migrate, open_page, restore, scale, simulate, status, up, verify
from backend_demo.cli.bench.result import BenchResult
from backend_demo.cli.chaos import fault as chaos_fault
from backend_demo.cli.chaos import ls as chaos_ls
from backend_demo.cli.chaos.result import ChaosResult
from backend_demo.cli.dlq.documents import ListedLetters, PurgeResult, ReplayResult, ShownLetter, WholeLetter
from backend_demo.cli.mqtt import user_add, user_ls, user_rm
from backend_demo.cli.query.documents import QueryDocument, SqlDocument
from backend_demo.cli.secrets import ls, rotate, show
from backend_demo.cli.tail.documents import EventLine, MessageLine, RecordLine
from backend_demo.cli.top.once import TopResult
from backend_demo.operations.trace.document import TraceDocument

#: One document per command. Its field `schema` has the value that stands here.
DOCUMENTS: dict[str, Any] = {
    "bdemo.backup/1": backup.Document,
    "bdemo.bench/1": BenchResult,
    "bdemo.chaos.fault/1": chaos_fault.Document,
    "bdemo.chaos.ls/1": chaos_ls.Document,
    "bdemo.chaos.run/1": ChaosResult,
    "bdemo.dlq.ls/1": ListedLetters,
    "bdemo.dlq.purge/1": PurgeResult,
    "bdemo.dlq.replay/1": ReplayResult,
    "bdemo.dlq.show/1": ShownLetter,
    "bdemo.down/1": down.Document,
    "bdemo.env/1": env.Document,
    "bdemo.migrate/1": migrate.Document,
    "bdemo.mqtt.user.add/1": user_add.Document,
    "bdemo.mqtt.user.ls/1": user_ls.Document,
    "bdemo.mqtt.user.rm/1": user_rm.Document,
    "bdemo.open/1": open_page.Document,
    "bdemo.query/1": QueryDocument,
    "bdemo.restore/1": restore.Document,
    "bdemo.scale/1": scale.Document,
    "bdemo.secrets.ls/1": ls.Document,
    "bdemo.secrets.rotate/1": rotate.Document,
    "bdemo.secrets.show/1": show.Document,
    "bdemo.simulate/1": simulate.Document,
    "bdemo.sql/1": SqlDocument,
    "bdemo.status/1": status.Document,
    "bdemo.top/1": TopResult,
    "bdemo.trace/1": TraceDocument,
    "bdemo.up/1": up.Document,
    "bdemo.verify/1": verify.Document,
}

#: One document per line. They have no field `schema`: a reader knows what it asked for, and lines stay short.
LINES: dict[str, Any] = {
    "bdemo.dlq.export/1": WholeLetter,
    "bdemo.logs/1": logs.Line,
    "bdemo.tail.api/1": EventLine,
    "bdemo.tail.mqtt/1": MessageLine,
    "bdemo.tail.topic/1": RecordLine,
}

ERROR = "bdemo.error/1"

_ERROR = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("code", "message", "hint")},
    "required": ["code", "message", "hint"],
    "additionalProperties": False,
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """Returns the JSON Schema of each document, of each stream's lines and of an error, by the schema's name."""
    error = {"type": "object", "properties": {"error": _ERROR}, "required": ["error"], "additionalProperties": False}
    return {
        **{name: _document(name, kind) for name, kind in DOCUMENTS.items()},
        **{name: _schema(name, kind) for name, kind in LINES.items()},
        ERROR: {**_head(ERROR), **error},
    }


def file_name(name: str) -> str:
    """The published file of a schema: `bdemo.tail.topic/1` is `tail.topic.json`."""
    return name.removeprefix("bdemo.").replace("/1", ".json")


def _document(name: str, kind: Any) -> dict[str, Any]:
    schema = _schema(name, kind)
    # pydantic takes a field with a default for one that may be missing
    required = ["schema", *(field for field in schema["required"] if field != "schema")]
    schema["properties"]["schema"].pop("default", None)
    schema["properties"]["error"] = {**_ERROR, "description": "Why the command failed, although it has a result."}
    return {**schema, "required": required}


def _schema(name: str, kind: Any) -> dict[str, Any]:
    return {**_head(name), **TypeAdapter(kind).json_schema(mode="serialization"), "title": name}


def _head(name: str) -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": name}
