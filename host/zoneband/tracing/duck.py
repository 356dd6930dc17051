"""DuckDB in this process."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from zoneband.tracing.engine import COLUMNS


class DuckSession:
    """One connection, in memory; as zoneband.tracing.engine.Session says."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        """db: its connection."""
        self.db = db
        db.execute("SET enable_progress_bar = false")  # it would be on the output of whoever asks
        db.execute("SET parquet_metadata_cache = true")  # every question reads each file twice

    def segments(self, files: Sequence[Path]) -> set[Path]:
        """The view `segments`; files whose footers or rows cannot be read are left out."""
        try:
            self._view(files)
        except duckdb.Error:
            unreadable = {path for path in files if not self._readable(path)}
            self._view([path for path in files if path not in unreadable])
            return unreadable
        return set()

    def put(self, name: str, made: pa.Table) -> None:
        """Make or replace a table."""
        self.db.register("made", made)
        self.db.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM made")
        self.db.unregister("made")

    def run(self, sql: str) -> None:
        """Run a statement."""
        self.db.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        return self.db.execute(sql).fetchall()

    def _view(self, files: Sequence[Path]) -> None:
        have: set[str] = set()
        source = ""
        if files:
            found = self.db.read_parquet([str(path) for path in files], union_by_name=True)  # pyright: ignore[reportArgumentType]
            found.create_view("files")
            have = set(found.columns)
            source = "FROM files"
        columns = ", ".join(
            name if name in have else f"CAST(NULL AS BIGINT) AS {name}" for name in COLUMNS
        )
        self.db.execute(f"CREATE VIEW segments AS SELECT {columns} {source or 'WHERE 1 = 0'}")

    def _readable(self, path: Path) -> bool:
        # Whether every row of a file can be read.
        sums = ", ".join(f"sum({name})" for name in COLUMNS[:-1])
        try:
            self.db.read_parquet(str(path)).aggregate(sums).fetchall()
        except duckdb.Error:
            return False
        return True


@contextmanager
def session() -> Generator[DuckSession]:
    """A session that ends with its block."""
    with duckdb.connect(":memory:") as db:
        yield DuckSession(db)
