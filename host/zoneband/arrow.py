"""Numbers as Arrow columns."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def column(numbers: npt.NDArray[Any], there: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """n numbers (int64 or float64) as a column; there: of each whether it is no NULL. Made of its
    buffers: pa.array would first read pandas, where that is installed, for half a second."""
    bits = None
    if there is not None and not there.all():
        bits = pa.py_buffer(np.packbits(there, bitorder="little"))
    kind = pa.from_numpy_dtype(numbers.dtype)
    return pa.Array.from_buffers(
        kind, len(numbers), [bits, pa.py_buffer(np.ascontiguousarray(numbers))]
    )


def numbers(column: pa.ChunkedArray, nothing: int) -> npt.NDArray[np.int64]:
    """The n int64 of a column, which may not be written to; nothing: stands for NULL. As `column`,
    without pandas."""
    parts: list[npt.NDArray[np.int64]] = []
    for chunk in _filled(column):
        bits, values = chunk.buffers()
        here = slice(chunk.offset, chunk.offset + len(chunk))
        found = np.frombuffer(values, np.int64)[here]
        if chunk.null_count:
            there = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")[here]
            found = np.where(there.astype(np.bool_), found, nothing)
        parts.append(found)
    return _one(parts, np.zeros(0, np.int64))


def raw(column: pa.ChunkedArray, width: int) -> npt.NDArray[np.uint8]:
    """The n values of a column of that many bytes each, none of them NULL: (n, width)."""
    parts = [
        np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, width)[
            chunk.offset : chunk.offset + len(chunk)
        ]
        for chunk in _filled(column)
    ]
    return _one(parts, np.zeros((0, width), np.uint8))


def _filled(column: pa.ChunkedArray) -> list[Any]:
    # An empty one may have no buffers.
    return [chunk for chunk in column.chunks if len(chunk)]


def _one(parts: list[npt.NDArray[Any]], empty: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate([empty, *parts])
