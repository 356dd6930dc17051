"""DuckDB in-process over the encounters' Parquet files: the view that every query reads, and the
small tables beside it.

A missing or damaged file costs its own rows only, and is named.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

_COLUMNS = (
    "start_s", "duration_s", "sightings", "rssi_mean", "rssi_max", "due_s", "clock", "log_id",
    "sector", "slot", "boot_id", "run_s", "shares",
)  # fmt: skip
Number = int | float | None
NOBODY = -2


class Wearing(NamedTuple):
    """In [from_s, to_s) a band was on whoever usually wears another one; wearer=NOBODY: whoever
    had it is left out. Of one band these do not overlap."""

    band: int
    wearer: int
    from_s: int
    to_s: int


class Bad(NamedTuple):
    """A segment that cannot be read; missing: it is not there at all."""

    path: Path
    missing: bool


@contextmanager
def opened(
    files: Sequence[Path],
    damaged: Callable[[Iterable[Path]], set[Path]] = lambda _paths: set(),
    wearings: Sequence[Wearing] = (),
) -> Generator[tuple[duckdb.DuckDBPyConnection, list[Bad]]]:
    """A connection with the view `encounters` over the files that are there and readable, and those
    that are not. damaged: which files are not as they were written.

    Whose a band was is settled in the view: observer and contact are the band ids of the wearers'
    usual bands, observer_band and contact_band the bands themselves."""
    bad = [Bad(path, True) for path in files if not path.is_file()]
    missing = {each.path for each in bad}
    there = [path for path in files if path not in missing]
    spoilt = damaged(there)
    bad += [Bad(path, False) for path in there if path in spoilt]
    good = [path for path in there if path not in spoilt]
    with duckdb.connect(":memory:") as db:
        db.execute("SET enable_progress_bar = false")  # it would be on the output of whoever asks
        db.execute("SET parquet_metadata_cache = true")  # every query reads each file twice
        try:
            _view(db, good, wearings)
        except duckdb.Error:
            readable = [path for path in good if _readable(db, path)]
            bad += [Bad(path, False) for path in good if path not in readable]
            _view(db, readable, wearings)
        yield db, bad


def table(
    db: duckdb.DuckDBPyConnection,
    name: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Number]],
) -> None:
    """Make or replace a small table; a column that holds a float is DOUBLE, any other BIGINT."""
    every = list(rows)
    arrays: list[pa.Array] = []
    for at in range(len(columns)):
        values = [row[at] for row in every]
        real = any(isinstance(value, float) for value in values)
        arrays.append(pa.array(values, pa.float64() if real else pa.int64()))
    made = pa.Table.from_arrays(arrays, names=list(columns))
    db.register("made", made)
    db.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM made")
    db.unregister("made")


def _view(db: duckdb.DuckDBPyConnection, files: list[Path], wearings: Sequence[Wearing]) -> None:
    # What older segments lack is read as NULL.
    if not files:
        names = ("observer", "contact", *_COLUMNS)
        empty = ", ".join(f"CAST(NULL AS BIGINT) AS {name}" for name in names)
        db.execute(f"CREATE VIEW segments AS SELECT {empty} WHERE 1 = 0")
        have = set(names)
    else:
        found = db.read_parquet([str(path) for path in files], union_by_name=True)  # pyright: ignore[reportArgumentType]
        found.create_view("segments")
        have = set(found.columns)
    rest = ", ".join(
        f"e.{name}" if name in have else f"CAST(NULL AS BIGINT) AS {name}" for name in _COLUMNS
    )
    if not wearings:
        who = "e.observer, e.contact, e.observer AS observer_band, e.contact AS contact_band"
        db.execute(f"CREATE VIEW encounters AS SELECT {who}, {rest} FROM segments e")
        return
    table(db, "wearings", Wearing._fields, wearings)
    who = (
        "COALESCE(o.wearer, e.observer) AS observer, COALESCE(c.wearer, e.contact) AS contact, "
        "e.observer AS observer_band, e.contact AS contact_band"
    )
    joins = " ".join(
        f"LEFT JOIN wearings {name} ON {name}.band = e.{column} "
        f"AND e.start_s >= {name}.from_s AND e.start_s < {name}.to_s"
        for name, column in (("o", "observer"), ("c", "contact"))
    )
    db.execute(f"CREATE VIEW encounters AS SELECT {who}, {rest} FROM segments e {joins}")


def _readable(db: duckdb.DuckDBPyConnection, path: Path) -> bool:
    # Whether every row of a file can be read.
    sums = ", ".join(f"sum({name})" for name in ("observer", "contact", *_COLUMNS[:-1]))
    try:
        db.read_parquet(str(path)).aggregate(sums).fetchall()
    except duckdb.Error:
        return False
    return True
