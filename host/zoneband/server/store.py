"""Encounters on disk: Parquet segments in a folder a day.

A segment is written, synced and renamed before its row goes into the ledger: a crash leaves at
most an orphan file that nobody reads. When a day has many segments of a size they are merged
into one of the next size, so that a query opens few files.
"""

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from zoneband import durable

SCHEMA = pa.schema(
    [
        ("observer", pa.int64()),
        ("contact", pa.int64()),  # -1: nobody yet
        ("rotating_id", pa.binary(12)),
        ("due_s", pa.int64()),  # when the ID's 15 minutes began, by its band's UTC; -1: nobody's
        ("start_s", pa.int64()),
        ("duration_s", pa.int64()),
        ("sightings", pa.int64()),
        ("rssi_mean", pa.int64()),
        ("rssi_max", pa.int64()),
        ("boot_id", pa.int64()),
        ("run_s", pa.int64()),  # when it began by the observer's run time
        ("clock", pa.int64()),  # server.timeline.Quality of start_s; -1: its time is not known
        ("log_id", pa.int64()),
        ("sector", pa.int64()),
        ("slot", pa.int64()),
    ]
)
Columns = dict[str, npt.NDArray[Any]]
"""A column of n values for each name of SCHEMA; times are UTC seconds, levels dBm;
rotating_id is (n, 12) bytes."""


def write(root: Path, day: int, columns: Columns) -> str:
    """Write one new segment; its path below root. Durable when this returns."""
    return _write(root, day, _table(columns))


def _table(columns: Columns) -> pa.Table:
    arrays: list[Any] = []
    for field in SCHEMA:
        values = columns[field.name]
        if field.name == "rotating_id":
            raw = pa.py_buffer(np.ascontiguousarray(values, np.uint8).tobytes())
            arrays.append(pa.Array.from_buffers(field.type, len(values), [None, raw]))
        else:
            arrays.append(pa.array(values.astype(np.int64, copy=False)))
    return pa.table(arrays, schema=SCHEMA)


def _write(root: Path, day: int, table: pa.Table) -> str:
    folder = root / datetime.fromtimestamp(day * 86400, UTC).strftime("day=%Y-%m-%d")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{secrets.token_hex(16)}.parquet"
    durable.write(path, lambda f: pq.write_table(table, f, compression="zstd"))
    return str(path.relative_to(root))


def merge(root: Path, day: int, paths: list[str]) -> tuple[str, int]:
    """One new segment with the rows of several, observer by observer: (path, rows)."""
    table = pa.concat_tables([pq.ParquetFile(root / path).read() for path in paths])
    table = table.sort_by([("observer", "ascending"), ("start_s", "ascending")])
    return _write(root, day, table), table.num_rows


def read(root: Path, path: str) -> Columns:
    """The columns of one segment."""
    table = pq.ParquetFile(root / path).read()
    columns: Columns = {}
    for field in SCHEMA:
        column = table.column(field.name).combine_chunks()
        if field.name == "rotating_id":
            raw = b"".join(column.to_pylist())
            columns[field.name] = np.frombuffer(raw, np.uint8).reshape(-1, 12)
        else:
            columns[field.name] = column.to_numpy()
    return columns
