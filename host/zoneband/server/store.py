"""Encounters on disk: Parquet segments in a folder a day.

A segment is written, synced and renamed before its row goes into the ledger: a crash leaves at
most an orphan file that nobody reads.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("observer", pa.int64()),
        ("contact", pa.int64()),  # -1: nobody yet
        ("rotating_id", pa.binary(12)),
        ("start_s", pa.int64()),
        ("duration_s", pa.int64()),
        ("sightings", pa.int64()),
        ("rssi_mean", pa.int64()),
        ("rssi_max", pa.int64()),
        ("on_time", pa.bool_()),
        ("log_id", pa.int64()),
        ("sector", pa.int64()),
        ("slot", pa.int64()),
    ]
)


@dataclass
class Row:
    """One encounter as kept; times are true UTC seconds."""

    observer: int
    contact: int
    rotating_id: bytes
    start_s: int
    duration_s: int
    sightings: int
    rssi_mean: int
    rssi_max: int
    on_time: bool
    log_id: int
    sector: int
    slot: int


def write(root: Path, day: int, name: str, rows: Sequence[Row]) -> str:
    """Write one segment; its path below root."""
    folder = root / f"day={day}"
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list[Any]] = {
        field.name: [getattr(row, field.name) for row in rows] for field in SCHEMA
    }
    path = folder / f"{name}.parquet"
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as f:
        pq.write_table(pa.table(columns, schema=SCHEMA), f)
        f.flush()
        os.fsync(f.fileno())
    temporary.replace(path)
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return str(path.relative_to(root))


def read(root: Path, path: str) -> list[Row]:
    """The rows of one segment."""
    return [Row(**row) for row in pq.ParquetFile(root / path).read().to_pylist()]
