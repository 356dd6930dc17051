"""Encounters on disk: Parquet segments in a folder a day.

A segment is written, synced and renamed before its row goes into the ledger: a crash leaves at
most an orphan file that nobody reads. Its name is its own BLAKE3, so that a damaged one is known:
Parquet itself reads a flipped bit as another time or level. When a day has many segments of a size
they are merged into one of the next size, so that a query opens few files.
"""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

from zoneband import durable
from zoneband.arrow import column, numbers, raw
from zoneband.server.timeline import Quality

# Columns that may be null, which is -1 in memory.
_NULLABLE = ("shares",)
SCHEMA = pa.schema(
    pa.field(name, kind, name in _NULLABLE)
    for name, kind in (
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
        ("shares", pa.int64()),  # as the record has them; null in segments of older programs
    )
)
# What tells whose a row is, where it stood, and when it was.
PLACES = ("observer", "contact", "start_s", "clock", "log_id", "sector", "slot")
# How columns are written: what costs least in time and room, by the records of a city. Those that a
# trace reads are not packed; of some others neighbours differ by little, sorted by observer.
_READ = ("observer", "contact", "start_s", "duration_s", "sightings", "rssi_mean", "rssi_max")
_BY_STEPS = ("boot_id", "run_s", "log_id", "sector", "slot")
_AT_RANDOM = "rotating_id"
_WRITING: dict[str, Any] = {
    "compression": {
        name: "none" if name in (*_READ, _AT_RANDOM) else "lz4" for name in SCHEMA.names
    },
    "use_dictionary": [name for name in SCHEMA.names if name not in (*_BY_STEPS, _AT_RANDOM)],
    "column_encoding": dict.fromkeys(_BY_STEPS, "DELTA_BINARY_PACKED"),
    # What a question may skip pages by.
    "write_statistics": ["observer", "contact", "start_s"],
}
# What stands before the digest in a file's name: BLAKE3 takes a third of the time of SHA-256, by
# which older programs named their files. Those of the oldest have random names.
_PREFIX = "b-"
_DIGESTS: dict[str, Callable[[], Any]] = {_PREFIX: blake3, "s-": hashlib.sha256}
Columns = dict[str, npt.NDArray[Any]]
"""A column of n values for each name of SCHEMA; times are UTC seconds, levels dBm;
rotating_id is (n, 12) bytes."""

# Files that were found whole: path -> (size, time of change). They are never changed.
_whole: dict[Path, tuple[int, int]] = {}


class Damaged(Exception):
    """A segment that is not there, or not as it was written."""


def write(root: Path, day: int, columns: Columns) -> str:
    """Write one new segment; its path below root. Durable when this returns."""
    return _write(root, day, _table(columns))


def _table(columns: Columns) -> pa.Table:
    arrays: list[Any] = []
    count = len(columns["start_s"])
    for field in SCHEMA:
        if field.name in _NULLABLE:
            values = columns.get(field.name, np.full(count, -1, np.int64))
            there = values >= 0
            arrays.append(column(values.astype(np.int64, copy=False), there))
            continue
        values = columns[field.name]
        if field.name == "rotating_id":
            held = pa.py_buffer(np.ascontiguousarray(values, np.uint8).tobytes())
            arrays.append(pa.Array.from_buffers(field.type, len(values), [None, held]))
        else:
            arrays.append(column(values.astype(np.int64, copy=False)))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _write(root: Path, day: int, table: pa.Table) -> str:
    folder = root / datetime.fromtimestamp(day * 86400, UTC).strftime("day=%Y-%m-%d")
    durable.folder(folder)
    held = pa.BufferOutputStream()  # which other threads need not stop for
    pq.write_table(table, held, **_WRITING)
    data = held.getvalue()
    path = folder / f"{_PREFIX}{blake3(data).hexdigest()}.parquet"
    durable.write(path, lambda f: f.write(data))
    return str(path.relative_to(root))


def merge(root: Path, day: int, paths: list[str]) -> tuple[str, int]:
    """One new segment with the rows of several, observer by observer: (path, rows). Raises
    Damaged."""
    table = pa.concat_tables([_read(root / path) for path in paths])
    table = table.sort_by([("observer", "ascending"), ("start_s", "ascending")])
    return _write(root, day, table), table.num_rows


class Rewritten(NamedTuple):
    """A segment without some rows. path: None when none is left; dropped: the columns of
    PLACES of the rows that went; unresolved, loose: rows as the ledger counts them."""

    path: str | None
    rows: int
    unresolved: int
    loose: int
    dropped: Columns


def places(root: Path, path: str) -> Columns:
    """The columns of PLACES of a segment. Raises Damaged."""
    if root / path in damaged([root / path]):
        raise Damaged(path)
    try:
        return _places(pq.ParquetFile(root / path).read(columns=list(PLACES)))
    except (OSError, pa.ArrowException) as error:
        raise Damaged(path) from error


def _places(table: pa.Table) -> Columns:
    return {name: numbers(table.column(name), -1) for name in PLACES}


def without(
    root: Path,
    day: int,
    path: str,
    which: Callable[[Columns], npt.NDArray[np.bool_]],
    dry: bool = False,
) -> Rewritten | None:
    """Write a segment anew without the rows that `which` says of the columns of PLACES; None when
    it says that of none. dry: write nothing. Raises Damaged."""
    if root / path in damaged([root / path]):
        raise Damaged(path)
    try:
        table = pq.ParquetFile(root / path).read(columns=list(PLACES) if dry else None)
        columns = _places(table)
        drop = which(columns)
        if not drop.any():
            return None
        dropped = {name: values[drop] for name, values in columns.items()}
        keep = ~drop
        left = columns["contact"][keep], columns["clock"][keep]
        unresolved, loose = int((left[0] < 0).sum()), int((left[1] < Quality.VOUCHED).sum())
        count = int(keep.sum())
        if dry or not count:
            return Rewritten(None, count, unresolved, loose, dropped)
    except (OSError, pa.ArrowException) as error:
        raise Damaged(path) from error
    table = _whole_table(_between(table, np.flatnonzero(drop).tolist()))
    return Rewritten(_write(root, day, table), count, unresolved, loose, dropped)


def _between(table: pa.Table, drop: list[int]) -> pa.Table:
    # The rows but for some, which are few: without a copy.
    ends = [*drop, table.num_rows]
    begins = [0, *(at + 1 for at in drop)]
    spans = [(a, b) for a, b in zip(begins, ends, strict=True) if a < b]
    return pa.concat_tables([table.slice(a, b - a) for a, b in spans])


def read(root: Path, path: str) -> Columns:
    """The columns of one segment. Raises Damaged."""
    table = _read(root / path)
    columns: Columns = {}
    for field in SCHEMA:
        found = table.column(field.name)
        if field.name == "rotating_id":
            columns[field.name] = raw(found, field.type.byte_width)
        else:
            columns[field.name] = numbers(found, -1)
    return columns


def _read(path: Path) -> pa.Table:
    if path in damaged([path]):
        raise Damaged(path)
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise Damaged(path) from error
    return _whole_table(table)


def _whole_table(table: pa.Table) -> pa.Table:
    # What older segments lack is null.
    for name in _NULLABLE:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.int64()))
    return pa.Table.from_arrays([table.column(name) for name in SCHEMA.names], schema=SCHEMA)


def damaged(paths: Iterable[Path]) -> set[Path]:
    """Those segments that are not there or not as they were written. A file is read through once
    in a process, and again when it changed."""
    bad: set[Path] = set()
    unknown: dict[Path, tuple[int, int]] = {}
    for path in paths:
        try:
            facts = path.stat()
        except OSError:
            bad.add(path)
            continue
        now = facts.st_size, facts.st_mtime_ns
        if path.stem[:2] in _DIGESTS and _whole.get(path) != now:
            unknown[path] = now
    if unknown:
        with ThreadPoolExecutor() as pool:
            for path, same in zip(unknown, pool.map(_as_named, unknown), strict=True):
                if same:
                    _whole[path] = unknown[path]
                else:
                    bad.add(path)
    return bad


def _as_named(path: Path) -> bool:
    try:
        with path.open("rb") as f:
            found = hashlib.file_digest(f, _DIGESTS[path.stem[:2]])
            return found.hexdigest() == path.stem[2:]
    except OSError:
        return False
