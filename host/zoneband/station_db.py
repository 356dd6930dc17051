"""The station's one SQLite file: WAL, full sync, usable from several threads and processes."""

import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoneband import disk
from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.reasons import said

_FULL_BYTES = 1 << 20  # with less nothing can be begun


def _full(error: sqlite3.Error) -> UserError:
    return UserError(
        _("Cannot write the spool ({error}). Free some disk space, then dock again.").format(
            error=said(error)
        )
    )


class StationDb:
    """What Spool and Inventory share; `schema` makes a part's tables when they are missing."""

    def __init__(self, directory: Path, schema: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(
                directory / "spool.sqlite", check_same_thread=False, timeout=30
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.executescript(schema)
        except sqlite3.Error as error:
            if disk.free_bytes(directory) < _FULL_BYTES:
                raise _full(error) from error
            raise UserError(
                _("The spool in {path} cannot be opened: {error}").format(
                    path=directory, error=said(error)
                )
            ) from error

    @contextmanager
    def _change(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            try:
                with self._db:
                    yield self._db
            except sqlite3.OperationalError as error:
                raise _full(error) from error

    def _one(self, sql: str, values: tuple[object, ...]) -> Any:
        with self._lock:
            return self._db.execute(sql, values).fetchone()

    def _all(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        self._db.close()
