"""The station's own durable store of what was pulled and is not yet at the server."""

import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoneband import batch as batches
from zoneband.errors import UserError
from zoneband.i18n import _

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    name TEXT PRIMARY KEY, serial TEXT NOT NULL, log_id INTEGER NOT NULL,
    first INTEGER NOT NULL, end INTEGER NOT NULL, data BLOB NOT NULL,
    created_s INTEGER NOT NULL, sent_s INTEGER, refused TEXT);
CREATE INDEX IF NOT EXISTS batches_waiting ON batches (sent_s, created_s);
CREATE TABLE IF NOT EXISTS receipts (
    serial TEXT NOT NULL, log_id INTEGER NOT NULL, first INTEGER NOT NULL, upto INTEGER NOT NULL,
    mac BLOB NOT NULL, delivered_s INTEGER, PRIMARY KEY (serial, log_id, first, upto));
CREATE TABLE IF NOT EXISTS bands (
    serial TEXT PRIMARY KEY, board TEXT, firmware TEXT, state INTEGER, docked_s INTEGER,
    battery_mv INTEGER, fill_percent INTEGER);
"""


@dataclass(frozen=True)
class Receipt:
    """A server's receipt on its way to a band."""

    serial: str
    log_id: int
    first: int
    upto: int
    mac: bytes


class Spool:
    """One SQLite file in WAL with full sync; may be used from several threads."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(
                directory / "spool.sqlite", check_same_thread=False, timeout=30
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise UserError(
                _("The spool in {path} cannot be opened: {error}").format(
                    path=directory, error=error
                )
            ) from error

    @contextmanager
    def _change(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            try:
                with self._db:
                    yield self._db
            except sqlite3.OperationalError as error:
                raise UserError(
                    _(
                        "Cannot write the spool ({error}). Free some disk space, then dock again."
                    ).format(error=error)
                ) from error

    def add(self, data: bytes) -> str:
        """Keep a batch; returns when it is on disk. The same batch twice is one."""
        header = batches.unpack(data).header
        name = batches.name(data)
        with self._change() as db:
            db.execute(
                "INSERT OR IGNORE INTO batches VALUES (?,?,?,?,?,?,?,NULL,NULL)",
                (
                    name,
                    header.serial,
                    header.log_id,
                    header.first,
                    header.end,
                    data,
                    int(time.time()),
                ),
            )
        return name

    def cursor(self, serial: str, log_id: int) -> int:
        """Behind the last slot of this log that the spool has ever held, 0 when none."""
        row = self._one(
            "SELECT MAX(end) FROM batches WHERE serial=? AND log_id=?", (serial, log_id)
        )
        return row[0] or 0

    def has_other_log(self, serial: str, log_id: int) -> bool:
        """Whether another log of this serial was docked here before."""
        row = self._one(
            "SELECT COUNT(*) FROM batches WHERE serial=? AND log_id<>?", (serial, log_id)
        )
        return bool(row[0])

    def waiting(self) -> list[str]:
        """Names of batches to send, oldest first."""
        return [
            r[0]
            for r in self._all(
                "SELECT name FROM batches WHERE sent_s IS NULL AND refused IS NULL "
                "ORDER BY created_s, rowid",
                (),
            )
        ]

    def data(self, name: str) -> bytes:
        """Bytes of a batch."""
        return self._one("SELECT data FROM batches WHERE name=?", (name,))[0]

    def sent(self, name: str) -> None:
        """The server has it."""
        with self._change() as db:
            db.execute("UPDATE batches SET sent_s=? WHERE name=?", (int(time.time()), name))

    def refused(self, name: str, why: str) -> None:
        """The server will never take it; it is kept for a person to look at."""
        with self._change() as db:
            db.execute("UPDATE batches SET refused=? WHERE name=?", (why, name))

    def add_receipt(self, receipt: Receipt) -> None:
        """Keep a receipt for the band's next dock."""
        with self._change() as db:
            db.execute(
                "INSERT OR IGNORE INTO receipts VALUES (?,?,?,?,?,NULL)",
                (receipt.serial, receipt.log_id, receipt.first, receipt.upto, receipt.mac),
            )

    def receipts(self, serial: str, log_id: int, first: int) -> list[Receipt]:
        """Receipts that start at the band's receipted cursor, furthest first."""
        return [
            Receipt(*row)
            for row in self._all(
                "SELECT serial, log_id, first, upto, mac FROM receipts WHERE serial=? "
                "AND log_id=? AND first=? AND delivered_s IS NULL ORDER BY upto DESC",
                (serial, log_id, first),
            )
        ]

    def delivered(self, receipt: Receipt) -> None:
        """The band took it: older ones of this log are of no use any more."""
        with self._change() as db:
            db.execute(
                "UPDATE receipts SET delivered_s=? WHERE serial=? AND log_id=? AND upto<=?",
                (int(time.time()), receipt.serial, receipt.log_id, receipt.upto),
            )

    def saw(
        self,
        serial: str,
        board: str,
        firmware: str,
        state: int,
        battery_mv: int,
        fill_percent: int,
    ) -> None:
        """Remember a band's last dock."""
        with self._change() as db:
            db.execute(
                "INSERT OR REPLACE INTO bands VALUES (?,?,?,?,?,?,?)",
                (serial, board, firmware, state, int(time.time()), battery_mv, fill_percent),
            )

    def counts(self) -> tuple[int, int]:
        """(batches to send, batches the server refused)."""
        row = self._one(
            "SELECT COALESCE(SUM(sent_s IS NULL AND refused IS NULL), 0), "
            "COALESCE(SUM(refused IS NOT NULL), 0) FROM batches",
            (),
        )
        return row[0], row[1]

    def _one(self, sql: str, values: tuple[object, ...]) -> tuple[Any, ...]:
        with self._lock:
            return self._db.execute(sql, values).fetchone()

    def _all(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        self._db.close()
