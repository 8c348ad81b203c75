"""Rows as Parquet or as an Arrow stream, in constant memory.

The first such answer loads pyarrow and numpy: 50 MB, for a gateway of 70 MB.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backend_demo.gateway.offload import offload
from backend_demo.gateway.rows.formats import ColumnarFormatName

if TYPE_CHECKING:
    import numpy as np

MEDIA_TYPES: dict[ColumnarFormatName, str] = {
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}

#: Rows in a row group or record batch: 1.5 MB.
GROUP = 65_536

#: The fields of a row of sensor, timestamp and value in a binary COPY.
ROW = [
    ("fields", ">i2"),
    *(("sensor_size", ">i4"), ("sensor", ">i8")),
    *(("timestamp_size", ">i4"), ("timestamp", ">f8")),
    *(("value_size", ">i4"), ("value", ">f8")),
]
ROW_BYTES = 38

COLUMNS = ("sensor", "timestamp", "value")
_INTEGERS = ("sensor", "count")


class CopyReader:
    """Reads the rows of a binary COPY that arrives in arbitrary pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> np.ndarray[Any, Any]:
        """The rows that are complete, with the fields of ROW."""
        import numpy as np

        data = self._rest + data
        count = len(data) // ROW_BYTES
        self._rest = data[count * ROW_BYTES :]
        return np.frombuffer(data, ROW, count)


class ColumnarEncoder:
    """Encodes a binary COPY as Parquet or Arrow, group by group."""

    def __init__(self, name: ColumnarFormatName) -> None:
        self._name = name
        self._rows = CopyReader()
        self._data: list[bytes] = []
        self._size = 0
        self._writer: _Writer | None = None

    async def feed(self, data: bytes) -> bytes:
        self._data.append(data)
        self._size += len(data)
        if self._writer is not None and self._size < GROUP * ROW_BYTES:
            return b""
        return await offload(self._write)

    async def end(self) -> bytes:
        return await offload(self._write, last=True)

    def _write(self, *, last: bool = False) -> bytes:
        if self._writer is None:
            self._writer = _Writer(self._name, COLUMNS)
            if not last and (begin := self._writer.drain()):
                return begin  # Parquet's first bytes need not wait for the first group; Arrow's come with it
        rows = self._rows.feed(b"".join(self._data))
        self._data.clear()
        self._size = 0
        if len(rows):
            self._writer.write([rows[column] for column in COLUMNS])
        if last:
            self._writer.close()
        return self._writer.drain()


def document(
    name: ColumnarFormatName,
    columns: Sequence[str],
    values: Sequence[Sequence[Any] | np.ndarray[Any, Any]],
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """A whole answer of these columns; `metadata` goes into the schema."""
    writer = _Writer(name, columns, metadata)
    writer.write(values)
    writer.close()
    return writer.drain()


class _Writer:
    """Writes groups of rows to memory, to be drained."""

    def __init__(
        self, name: ColumnarFormatName, columns: Sequence[str], metadata: Mapping[str, str] | None = None
    ) -> None:
        import pyarrow
        import pyarrow.parquet

        pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # the default pool never gives memory back
        types = [pyarrow.int64() if column in _INTEGERS else pyarrow.float64() for column in columns]
        self._schema = pyarrow.schema(zip(columns, types, strict=True), metadata=metadata)
        self._sink = _Drained()
        if name == "parquet":
            self._writer = pyarrow.parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        else:
            self._writer = pyarrow.ipc.new_stream(self._sink, self._schema)

    def write(self, columns: Sequence[Sequence[Any] | np.ndarray[Any, Any]]) -> None:
        """Writes a group of rows."""
        import numpy
        import pyarrow

        arrays = [
            pyarrow.array(
                values.astype(values.dtype.newbyteorder("=")) if isinstance(values, numpy.ndarray) else values,
                each.type,
            )
            for each, values in zip(self._schema, columns, strict=True)
        ]
        self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()

    def drain(self) -> bytes:
        """What was written since the last call."""
        return self._sink.drain()


class _Drained(io.RawIOBase):
    """A file that keeps only what has not been drained yet."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self._position += len(self._pieces[-1])
        return len(self._pieces[-1])

    def drain(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data
