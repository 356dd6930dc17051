"""Every band that this station knows: made here, docked here, handed out here.

No key is kept, only what recognises one: a hash of the base key, so that a key given twice is
noticed, and the check that the band itself computes (zoneband.wire.enrol).
"""

import hashlib
import secrets
import sqlite3
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from zoneband import retention
from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.station_db import StationDb
from zoneband.wire import records

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bands (
    serial TEXT PRIMARY KEY, board TEXT, firmware TEXT, state INTEGER, docked_s INTEGER,
    battery_mv INTEGER, fill_percent INTEGER);
CREATE TABLE IF NOT EXISTS made (
    serial TEXT PRIMARY KEY, mac TEXT NOT NULL, board TEXT NOT NULL, firmware TEXT NOT NULL,
    key_print TEXT NOT NULL UNIQUE, key_check TEXT NOT NULL, enrolment TEXT NOT NULL,
    begun_s INTEGER NOT NULL, done_s INTEGER, flashed_s INTEGER);
CREATE TABLE IF NOT EXISTS handouts (
    step INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL UNIQUE, serial TEXT NOT NULL,
    state INTEGER NOT NULL, asked_s INTEGER NOT NULL, applied_s INTEGER);
CREATE INDEX IF NOT EXISTS handouts_serial ON handouts (serial, step);
CREATE TABLE IF NOT EXISTS gone (
    serial TEXT PRIMARY KEY, why TEXT NOT NULL, since_s INTEGER NOT NULL, successor TEXT);
"""


class State(StrEnum):
    """What a band is to the people who handle it."""

    UNFINISHED = "unfinished"  # flashing broke off before it had its keys
    NEW = "new"
    ISSUED = "issued"
    RETURNED = "returned"
    LOST = "lost"
    RETIRED = "retired"


_ON_BAND = {
    records.NEW: State.NEW,
    records.ISSUED: State.ISSUED,
    records.RETURNED: State.RETURNED,
    records.RETIRED: State.RETIRED,
}


@dataclass(frozen=True)
class Made:
    """A band that this computer gave its keys."""

    serial: str
    mac: str
    key_check: str
    enrolment: str
    done: bool


@dataclass(frozen=True)
class Wish:
    """A state that a band is to take at its next dock; number: the hand-out's own."""

    state: int
    number: int


@dataclass(frozen=True)
class BandRow:
    """One band in the inventory; waits: its state takes effect when it is next plugged in here."""

    serial: str
    board: str
    firmware: str
    state: str
    waits: bool
    docked_s: int | None
    battery_mv: int | None
    log_fill_percent: int | None
    enrolment: str  # "", "waiting", "sent" or why the server refused it
    successor: str | None


class Inventory(StationDb):
    """The bands of one station, in the spool's file."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, _SCHEMA)

    # --- flashing ---------------------------------------------------------------------------

    def begin(
        self,
        serial: str,
        mac: str,
        board: str,
        firmware: str,
        base_key: bytes,
        key_check: bytes,
        enrolment: str,
    ) -> None:
        """Note a band before it gets its keys. Raises UserError when its base key or serial was
        given to another band."""
        try:
            with self._change() as db:
                db.execute(
                    "INSERT INTO made VALUES (?,?,?,?,?,?,?,?,NULL,NULL)",
                    (
                        serial, mac, board, firmware, _print(base_key), key_check.hex(),
                        enrolment, int(time.time()),
                    ),
                )  # fmt: skip
        except sqlite3.IntegrityError as error:
            row = self._one("SELECT serial FROM made WHERE key_print=?", (_print(base_key),))
            raise UserError(
                _(
                    "This computer drew a key that {serial} has already: its random numbers "
                    "repeat. Stop flashing with it, and tell the engineers."
                ).format(serial=row[0] if row else serial)
            ) from error

    def done(self, serial: str) -> None:
        """The band has its keys."""
        with self._change() as db:
            db.execute("UPDATE made SET done_s=? WHERE serial=?", (int(time.time()), serial))

    def flashed(self, serial: str, board: str, firmware: str) -> None:
        """The band was flashed to its end."""
        with self._change() as db:
            db.execute(
                "UPDATE made SET flashed_s=?, board=?, firmware=? WHERE serial=?",
                (int(time.time()), board, firmware, serial),
            )

    def made(self, serial: str) -> Made | None:
        """What is known of a band that was made here."""
        row = self._one(
            "SELECT serial, mac, key_check, enrolment, done_s IS NOT NULL FROM made WHERE serial=?",
            (serial,),
        )
        return Made(row[0], row[1], row[2], row[3], bool(row[4])) if row else None

    def made_on(self, mac: str) -> list[str]:
        """Serials of bands that were made on a chip and are not retired."""
        rows = self._all(
            "SELECT serial FROM made WHERE mac=? AND done_s IS NOT NULL AND serial NOT IN "
            "(SELECT serial FROM gone WHERE why=?)",
            (mac, State.RETIRED.value),
        )
        return [row[0] for row in rows]

    # --- docking ----------------------------------------------------------------------------

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

    def wish(self, serial: str) -> Wish | None:
        """What a band is to become at this dock, None when nothing waits."""
        row = self._one(
            "SELECT state, number, applied_s FROM handouts WHERE serial=? "
            "ORDER BY step DESC LIMIT 1",
            (serial,),
        )
        return Wish(row[0], row[1]) if row and row[2] is None else None

    def granted(self, wish: Wish) -> None:
        """The band has taken that state."""
        with self._change() as db:
            db.execute(
                "UPDATE handouts SET applied_s=? WHERE number=? AND state=?",
                (int(time.time()), wish.number, wish.state),
            )

    # --- hand-out ---------------------------------------------------------------------------

    def ask(self, serial: str, state: int, number: int | None = None) -> Wish:
        """A band is to take a state at its next dock; number: one that was drawn for it before."""
        number = number or draw_number()
        with self._change() as db:
            db.execute(
                "INSERT INTO handouts (number, serial, state, asked_s) VALUES (?,?,?,?)",
                (number, serial, state, int(time.time())),
            )
        return Wish(state, number)

    def number(self, serial: str) -> int:
        """Number of the last hand-out that this station knows of a band, 0 when none, and when
        the band was taken back here and then came as handed out elsewhere."""
        row = self._one(
            "SELECT number FROM handouts WHERE serial=?1 AND state=?2 AND NOT EXISTS ("
            "SELECT 1 FROM bands b JOIN handouts h USING (serial) WHERE b.serial=?1 AND "
            "b.state=?2 AND h.state<>?2 AND h.applied_s IS NOT NULL AND "
            "h.step=(SELECT MAX(step) FROM handouts WHERE serial=?1)) "
            "ORDER BY step DESC LIMIT 1",
            (serial, records.ISSUED),
        )
        return row[0] if row else 0

    def leave(self, serial: str, why: State, successor: str | None = None) -> None:
        """A band is lost or retired; successor: the band its wearer got instead."""
        with self._change() as db:
            db.execute(
                "INSERT OR REPLACE INTO gone VALUES (?,?,?,?)",
                (serial, why.value, int(time.time()), successor),
            )

    def come_back(self, serial: str) -> None:
        """A lost band was found."""
        with self._change() as db:
            db.execute("DELETE FROM gone WHERE serial=? AND why=?", (serial, State.LOST.value))

    def gone(self, serial: str) -> State | None:
        """LOST or RETIRED, None for a band in use."""
        row = self._one("SELECT why FROM gone WHERE serial=?", (serial,))
        return State(row[0]) if row else None

    def expire(self, utc_s: float) -> int:
        """Delete hand-outs that took effect, and were followed by others, longer ago than
        zoneband.retention allows at a moment (UTC seconds); how many. A band's last step, and its
        last hand-out, say what it is now."""
        with self._change() as db:
            gone = db.execute(
                "DELETE FROM handouts WHERE applied_s<?1 AND step NOT IN ("
                "SELECT MAX(step) FROM handouts GROUP BY serial UNION "
                "SELECT MAX(step) FROM handouts WHERE state=?2 GROUP BY serial)",
                (retention.first_s(utc_s), records.ISSUED),
            )
        return gone.rowcount

    # --- all of it --------------------------------------------------------------------------

    def rows(self) -> list[BandRow]:
        """All bands, by their serials."""
        return self._rows("", ())

    def row(self, serial: str) -> BandRow | None:
        """One band, None when this station has never seen it."""
        found = self._rows("WHERE k.serial=? ", (serial,))
        return found[0] if found else None

    def _rows(self, where: str, values: tuple[object, ...]) -> list[BandRow]:
        found = self._all(
            "WITH known AS (SELECT serial FROM bands UNION SELECT serial FROM made UNION "
            "SELECT serial FROM handouts UNION SELECT serial FROM gone) "
            "SELECT k.serial, COALESCE(b.board, m.board, ''), "
            "COALESCE(b.firmware, m.firmware, ''), b.state, "
            "m.serial IS NOT NULL AND m.done_s IS NULL, g.why, b.docked_s, b.battery_mv, "
            "b.fill_percent, g.successor, m.enrolment FROM known k "
            "LEFT JOIN bands b USING (serial) LEFT JOIN made m USING (serial) "
            f"LEFT JOIN gone g USING (serial) {where}ORDER BY k.serial",
            values,
        )
        out: list[BandRow] = []
        for row in found:
            serial, board, firmware, on_band, unfinished, why, *rest = row
            docked_s, battery_mv, fill, successor, enrolment = rest
            # Of a band that is taken out of use nothing is wished any more.
            wish = None if on_band == records.RETIRED else self.wish(serial)
            state = _ON_BAND.get(wish.state if wish else on_band or records.NEW, State.NEW)
            if unfinished and on_band is None:
                state = State.UNFINISHED
            if why:
                state = State(why)
            sent = self._enrolment(enrolment) if enrolment else ""
            out.append(
                BandRow(
                    serial, board, firmware, state.value, wish is not None and not why, docked_s,
                    battery_mv, fill, sent, successor,
                )
            )  # fmt: skip
        return out

    def _enrolment(self, name: str) -> str:
        row = self._one("SELECT ready, sent_s, refused FROM sealed WHERE name=?", (name,))
        if row is None:
            return ""
        ready, sent_s, refused = row
        return refused or ("sent" if sent_s else "waiting" if ready else "")


def draw_number() -> int:
    """A hand-out's number: drawn at random, since stations that know nothing of each other hand
    bands out."""
    return secrets.randbelow((1 << 31) - 1) + 1


def _print(base_key: bytes) -> str:
    return hashlib.sha256(b"zoneband base key print 1" + base_key).hexdigest()
