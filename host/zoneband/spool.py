"""The station's own durable store of what was pulled and is not yet at the server."""

import hashlib
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from zoneband import batch as batches
from zoneband import retention
from zoneband.batch import BatchHeader
from zoneband.station_db import StationDb
from zoneband.wire import orders as order_wire

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    name TEXT PRIMARY KEY, serial TEXT NOT NULL, log_id INTEGER NOT NULL,
    first INTEGER NOT NULL, end INTEGER NOT NULL, data BLOB NOT NULL,
    created_s INTEGER NOT NULL, sent_s INTEGER, refused TEXT);
CREATE INDEX IF NOT EXISTS batches_waiting ON batches (sent_s, created_s);
CREATE TABLE IF NOT EXISTS receipts (
    serial TEXT NOT NULL, log_id INTEGER NOT NULL, first INTEGER NOT NULL, upto INTEGER NOT NULL,
    mac BLOB NOT NULL, delivered_s INTEGER, PRIMARY KEY (serial, log_id, first, upto));
CREATE TABLE IF NOT EXISTS sealed (
    name TEXT PRIMARY KEY, kind INTEGER NOT NULL, serial TEXT NOT NULL, data BLOB NOT NULL,
    created_s INTEGER NOT NULL, ready INTEGER NOT NULL, sent_s INTEGER, refused TEXT);
CREATE TABLE IF NOT EXISTS orders (
    serial TEXT NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (serial, number));
CREATE TABLE IF NOT EXISTS resend (
    serial TEXT NOT NULL, log_id INTEGER NOT NULL, cursor INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (serial, log_id));
"""


@dataclass(frozen=True)
class Receipt:
    """A server's receipt on its way to a band."""

    serial: str
    log_id: int
    first: int
    upto: int
    mac: bytes


@dataclass(frozen=True)
class Sealed:
    """A sealed record (zoneband.seal) on its way to the server; name: its SHA-256."""

    name: str
    kind: int
    data: bytes


class Spool(StationDb):
    """Batches, sealed records, receipts and orders."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, _SCHEMA)

    def add(self, data: bytes) -> str:
        """Keep a batch; returns when it is on disk. The same batch twice is one."""
        header = batches.unpack(data).header
        name = batches.name(data)
        with self._change() as db:
            added = db.execute(
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
            if added.rowcount:
                self._pulled_again(db, header)
        return name

    def cursor(self, serial: str, log_id: int) -> int:
        """Where the next pull of a log begins: behind the last slot that the spool has ever held, 0
        when none; or at a place before, that the server could not use."""
        row = self._one(
            "SELECT MAX(end) FROM batches WHERE serial=? AND log_id=?", (serial, log_id)
        )
        held = row[0] or 0
        again = self._all("SELECT cursor FROM resend WHERE serial=? AND log_id=?", (serial, log_id))
        return min(held, again[0][0]) if again else held

    # --- what must come again -----------------------------------------------------------------

    def add_resend(self, name: str, cursor: int) -> None:
        """The server needs a log, of which it has a batch, again from a cursor on: what came was
        altered or missing there. Raises ValueError for no cursor."""
        if type(cursor) is not int or not 0 <= cursor < 1 << 32:
            raise ValueError("no cursor")
        with self._change() as db:
            db.execute(
                "INSERT INTO resend SELECT serial, log_id, ?, ? FROM batches WHERE name=? "
                "ON CONFLICT DO UPDATE SET cursor=MIN(cursor, excluded.cursor), "
                "last=MAX(last, excluded.last)",
                (cursor, cursor, name),
            )

    def _pulled_again(self, db: sqlite3.Connection, header: BatchHeader) -> None:
        # A newer pull has come so far; what the band needs no more cannot come.
        log = header.serial, header.log_id
        db.execute(
            "UPDATE resend SET cursor=? WHERE serial=? AND log_id=? AND cursor BETWEEN ? AND ?",
            (header.end, *log, header.first, header.end - 1),
        )
        db.execute(
            "UPDATE resend SET cursor=MAX(cursor, ?) WHERE serial=? AND log_id=?",
            (header.receipted, *log),
        )
        db.execute("DELETE FROM resend WHERE serial=? AND log_id=? AND cursor>last", log)

    # --- what waits for the server ------------------------------------------------------------

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

    def serial(self, name: str) -> str:
        """Whose log a batch is of."""
        return self._one("SELECT serial FROM batches WHERE name=?", (name,))[0]

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

    # --- orders -------------------------------------------------------------------------------

    def add_orders(self, serial: str, orders: Iterable[bytes]) -> None:
        """Keep orders of the server for a band's next dock. Raises ValueError for bytes that are
        none."""
        rows = [(serial, order_wire.number_of(order), order) for order in orders]
        with self._change() as db:
            db.executemany("INSERT OR REPLACE INTO orders VALUES (?,?,?)", rows)

    def orders(self, serial: str, after: int = 0) -> list[bytes]:
        """Orders for a band with a number above `after`, oldest first."""
        rows = self._all(
            "SELECT data FROM orders WHERE serial=? AND number>? ORDER BY number", (serial, after)
        )
        return [row[0] for row in rows]

    def drop_orders(self, serial: str, upto: int) -> None:
        """Forget the orders up to a number: the band is past them."""
        with self._change() as db:
            db.execute("DELETE FROM orders WHERE serial=? AND number<=?", (serial, upto))

    # --- sealed records -----------------------------------------------------------------------

    def add_sealed(self, kind: int, serial: str, data: bytes, ready: bool = True) -> str:
        """Keep a sealed record; its name. It is on disk when this returns. Not ready: it waits for
        `release`, as an enrolment does until the band has its keys."""
        name = hashlib.sha256(data).hexdigest()
        with self._change() as db:
            db.execute(
                "INSERT OR IGNORE INTO sealed VALUES (?,?,?,?,?,?,NULL,NULL)",
                (name, kind, serial, data, int(time.time()), ready),
            )
        return name

    def release(self, name: str) -> None:
        """A sealed record may be sent now."""
        with self._change() as db:
            db.execute("UPDATE sealed SET ready=1 WHERE name=?", (name,))

    def drop_sealed(self, name: str) -> None:
        """Forget a sealed record that was never released: it must not be used."""
        with self._change() as db:
            db.execute("DELETE FROM sealed WHERE name=? AND NOT ready", (name,))

    def waiting_sealed(self) -> list[Sealed]:
        """Sealed records to send, oldest first."""
        rows = self._all(
            "SELECT name, kind, data FROM sealed WHERE ready AND sent_s IS NULL "
            "AND refused IS NULL ORDER BY created_s, rowid",
            (),
        )
        return [Sealed(*row) for row in rows]

    def sealed_sent(self, name: str) -> None:
        """The server has a sealed record."""
        with self._change() as db:
            db.execute("UPDATE sealed SET sent_s=? WHERE name=?", (int(time.time()), name))

    def sealed_refused(self, name: str, why: str) -> None:
        """The server will never take a sealed record."""
        with self._change() as db:
            db.execute("UPDATE sealed SET refused=? WHERE name=?", (why, name))

    # --- what is too old ----------------------------------------------------------------------

    def expire(self, utc_s: float) -> int:
        """Delete what is older than zoneband.retention allows at a moment (UTC seconds); how many
        batches the server never took. Of what was sent the place stays: the next pull begins
        behind it. What was not, a band that still has it can bring again. Persons and enrolments
        that wait stay: this station cannot read them, and no meeting is in them."""
        limit_s = retention.first_s(utc_s)
        old = (limit_s,)
        with self._change() as db:
            for table in ("batches", "sealed"):
                sent = "created_s<? AND sent_s IS NOT NULL AND data<>X''"
                db.execute(f"UPDATE {table} SET data=X'' WHERE {sent}", old)
            lost = db.execute("DELETE FROM batches WHERE created_s<? AND sent_s IS NULL", old)
            db.execute("DELETE FROM receipts WHERE delivered_s<?", old)
        return lost.rowcount

    def counts(self) -> tuple[int, int]:
        """(batches and sealed records to send, those that the server refused)."""
        waiting, refused = 0, 0
        for table, ready in (("batches", "1"), ("sealed", "ready")):
            row = self._one(
                f"SELECT COALESCE(SUM({ready} AND sent_s IS NULL AND refused IS NULL), 0), "
                f"COALESCE(SUM(refused IS NOT NULL), 0) FROM {table}",
                (),
            )
            waiting, refused = waiting + row[0], refused + row[1]
        return waiting, refused

    def oldest_s(self) -> int | None:
        """Since when the oldest that waits has been here (UTC seconds); None when nothing waits."""
        found = [
            self._one(
                f"SELECT MIN(created_s) FROM {table} WHERE {ready} AND sent_s IS NULL "
                "AND refused IS NULL",
                (),
            )[0]
            for table, ready in (("batches", "1"), ("sealed", "ready"))
        ]
        return min((at_s for at_s in found if at_s is not None), default=None)
