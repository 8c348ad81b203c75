"""What a backup says about itself, at its beginning. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from backend_demo.errors import BackupInvalid

#: The form of the archives that this version writes, and the only one that it reads.
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The first file of an archive."""

    format: int = FORMAT
    bdemo: str
    """The version of bdemo that wrote it."""
    created: str
    """RFC 3339."""
    servers: dict[str, str]
    """The version of each server whose data it holds."""
    files: int
    data_bytes: int
    """What the files take on the disk."""
    end_offsets: dict[str, list[int]] | None
    """Where each partition of each topic ends; null: the stack was killed before Kafka wrote that down."""

    def as_bytes(self) -> bytes:
        """The file."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"


class _Head(msgspec.Struct):
    """What every form of a manifest has."""

    format: int
    bdemo: str


def parse(content: bytes) -> Manifest:
    """The manifest in a file. Raises BackupInvalid if a newer bdemo wrote it, or it is not a manifest."""
    try:
        head = msgspec.json.decode(content, type=_Head)
        if head.format != FORMAT:
            raise BackupInvalid(
                f"the backup has format {head.format}, and this bdemo reads format {FORMAT}",
                hint=f"restore it with bdemo {head.bdemo}, which wrote it",
            )
        return msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as problem:
        raise BackupInvalid(f"its manifest cannot be read: {problem}", hint="restore another backup") from problem
