"""What is older than 21 days leaves the server: encounters, batches, persons, and all that tells of
a meeting.

The ledger forgets first, in one transaction; the files that it then names no more are removed
when no query reads them. A run that is killed anywhere is finished by the next one.

Kept for good, without a name or a meeting: which slots and batches came (so that an old batch does
not come back), the numbers of orders, hand-outs and cases (so that none is given twice), and since
when a band was on which wearer in turn.
"""

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    delete,
    exists,
    select,
    update,
)

from zoneband import retention
from zoneband.server import cases, database, gone, ledger, store, wearers
from zoneband.server.database import insert_or_replace
from zoneband.server.gone import Cutter
from zoneband.server.ingest import Ingest
from zoneband.server.readers import Readers
from zoneband.server.sealed import SealedRecords
from zoneband.server.unwanted import UNPLACED_DAY
from zoneband.wire import records

_MOST_WAIT_S = 600.0  # for a query that still reads
_NO_STATION = ""


@dataclass
class Dropped:
    """How much a run dropped, by kind; first_day: the first UTC day (since 1970) that is kept."""

    first_day: int
    encounters: int = 0
    batches: int = 0
    persons: int = 0
    marks: int = 0
    clock_spans: int = 0
    swaps: int = 0
    cases: int = 0

    def as_json(self) -> dict[str, Any]:
        """Keys and values for a script."""
        return asdict(self)


class Retention:
    """Drops what is too old. Calls take turns by the server's own lock."""

    def __init__(
        self,
        engine: Engine,
        directory: Path,
        lock: AbstractContextManager[Any],
        utc: Callable[[], float],
        work: Ingest,
        cutter: Cutter,
        sealed: SealedRecords,
        readers: Readers,
    ) -> None:
        """directory: the server's; utc: Unix seconds now."""
        self._engine = engine
        self._encounters = directory / "encounters"
        self._raw = directory / "batches"
        self._put_away = database.put_away(directory)
        self._lock = lock
        self._utc = utc
        self._work = work
        self._cutter = cutter
        self._sealed = sealed
        self._readers = readers

    def ran_s(self) -> int | None:
        """When it ran last, UTC seconds."""
        with self._engine.connect() as db:
            return db.execute(select(ledger.retention.c.ran_s)).scalar()

    def run(self) -> Dropped:
        """Drop all that is too old by the clock of now. Durable, and no file of it is left, when
        this returns."""
        now_s = int(self._utc())
        with self._lock, self._engine.begin() as db:
            table = ledger.retention
            day = max(
                retention.first_day(now_s), db.execute(select(table.c.first_day)).scalar() or 0
            )
            done = Dropped(day)
            self._batches(db, done, now_s)
            self._segments(db, done)
            self._times(db, done)
            self._persons(db, done)
            row = {"id": 1, "first_day": day, "ran_s": now_s}
            db.execute(insert_or_replace(db, table), row)
        try:
            with self._lock:
                self._cutter.run()
        finally:
            # Whatever could not be cut, the files of what is dropped go.
            if self._put_away.exists() and self._put_away.stat().st_mtime < _begin_s(done):
                self._put_away.unlink()
            self.sweep()
            database.forget(self._engine)
        return done

    def sweep(self) -> None:
        """Remove the files that the ledger names no more, once no query reads them."""
        with self._lock, self._engine.connect() as db:
            unread = self._work.unnamed(db)
        # Whoever begins to read now has none of these in their list; what is dropped from now on
        # is left to the next sweep.
        self._readers.wait(_MOST_WAIT_S)
        with self._lock:
            with self._engine.connect() as db:
                self._work.sweep(db, unread)
                found = select(ledger.batches.c.name).where(ledger.batches.c.dropped_s.is_not(None))
                dropped = set(db.execute(found).scalars())
            for folder in self._encounters.glob("day=*"):
                try:
                    folder.rmdir()
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
            for path in self._raw.iterdir():
                if path.name in dropped:
                    path.unlink()
            self._sealed.sweep()

    # --- parts ------------------------------------------------------------------------------

    def _segments(self, db: Connection, done: Dropped) -> None:
        table = ledger.segments
        old = (table.c.day < done.first_day) & (table.c.day != UNPLACED_DAY)
        for row in db.execute(select(table.c.path, table.c.rows).where(old)).all():
            done.encounters += row.rows
            self._mark(db, row.path)
        db.execute(delete(table).where(old))

    def _mark(self, db: Connection, path: str) -> None:
        # A batch that came since may hold slots of a day that goes: a pull brings what a band has.
        try:
            part = store.places(self._encounters, path)
        except store.Damaged:
            return  # nobody can say which: they go with their batch
        observers = np.unique(part["observer"]).tolist()
        serials = {
            row["id"]: row["serial"] for row in ledger.rows(db, ledger.bands.c.id, observers)
        }
        for where, sectors in gone.places(part, serials).items():
            gone.mark(db, where, sectors)

    def _batches(self, db: Connection, done: Dropped, now_s: int) -> None:
        # Whatever a batch brought is older than itself. One that waited all the time for its band
        # or for the authority's key goes, too.
        table = ledger.batches
        old = (table.c.came_s < _begin_s(done)) & table.c.dropped_s.is_(None)
        names = list(db.execute(select(table.c.name).where(old)).scalars())
        for of in (ledger.pieces, ledger.strips, ledger.resends):
            for at in range(0, len(names), 500):
                db.execute(delete(of).where(of.c.name.in_(names[at : at + 500])))
        gone = {"dropped_s": now_s, "station": _NO_STATION, "ingested": True}
        db.execute(update(table).where(old).values(**gone))
        done.batches += len(names)
        self._sectors(db)
        done.encounters += self._work.forget_unplaced(
            db, lambda part: _unbrought(db, part), now_s // retention.DAY_S
        )
        kept = ledger.kept_receipts
        there = exists().where(
            table.c.serial == kept.c.serial,
            table.c.log_id == kept.c.log_id,
            table.c.dropped_s.is_(None),
        )
        db.execute(delete(kept).where(~there))

    def _sectors(self, db: Connection) -> None:
        # Sectors of which no batch is left: their records are gone. Not so the header and key
        # groups, which a band sends again with what it writes into the same sector.
        table = ledger.slots
        old = ~_brought(table.c.serial, table.c.log_id, table.c.sector)
        changed = (table.c.gone != table.c.seen) | table.c.chosen.is_not(None)
        db.execute(update(table).where(old, changed).values(gone=table.c.seen, chosen=None))

    def _times(self, db: Connection, done: Dropped) -> None:
        limit_s = _begin_s(done)
        clock, marks, swaps = ledger.clock_spans, ledger.marks, ledger.swaps
        end_s = clock.c.utc_s + (clock.c.until_s - clock.c.run_s)
        done.clock_spans += _count(db.execute(delete(clock).where(end_s < limit_s)))
        issued = (marks.c.kind == records.STATE) & (marks.c.value == records.ISSUED)
        placed = marks.c.utc_s < limit_s
        unplaced = marks.c.utc_s.is_(None) & ~_brought(
            marks.c.serial, marks.c.log_id, marks.c.sector
        )
        kept = issued | (marks.c.kind == records.ORDER)
        done.marks += gone.drop_rows(db, marks, (placed | unplaced) & ~kept)
        done.swaps += _count(db.execute(delete(swaps).where(swaps.c.to_s < limit_s)))

    def _persons(self, db: Connection, done: Dropped) -> None:
        # Whoever has had no band for so long, and cases that ended so long ago.
        limit_s = _begin_s(done)
        table, ill = ledger.sealed, ledger.cases
        over = (ill.c.ended_s < limit_s) & (ill.c.serial != cases.DROPPED)
        numbers = list(db.execute(select(ill.c.id).where(over)).scalars())
        cases.blank(db, numbers)
        done.cases += len(numbers)
        still = {
            (row.serial, row.number)
            for row in db.execute(select(ill.c.serial, ill.c.number).where(ill.c.serial != ""))
        }
        known = db.execute(
            select(table.c.serial, table.c.number)
            .where(table.c.number.is_not(None), table.c.serial.is_not(None))
            .distinct()
        ).all()
        ended: list[tuple[str, int]] = []
        for serial, number in known:
            wearer = wearers.same_wearer(db, serial, number)
            left_s = wearers.ended_s(db, serial, number)
            if left_s is not None and left_s < limit_s and still.isdisjoint(wearer):
                ended.append((serial, number))
        # All were judged before the first is forgotten: what links them goes with them.
        done.persons += self._sealed.drop(db, ended)


def _begin_s(done: Dropped) -> int:
    return done.first_day * retention.DAY_S


def _count(result: CursorResult[Any]) -> int:
    return result.rowcount


def _brought(
    serial: ColumnElement[str], log_id: ColumnElement[int], sector: ColumnElement[int]
) -> ColumnElement[bool]:
    # Whether a batch of a sector is left.
    table = ledger.pieces
    return exists().where(
        table.c.serial == serial, table.c.log_id == log_id, table.c.sector == sector
    )


def _unbrought(db: Connection, part: store.Columns) -> npt.NDArray[np.bool_]:
    # Rows of sectors of which no batch is left.
    observers = np.unique(part["observer"]).tolist()
    serials = {row["id"]: row["serial"] for row in ledger.rows(db, ledger.bands.c.id, observers)}
    left: dict[tuple[str, int], set[int]] = {}
    for row in ledger.rows(db, ledger.pieces.c.serial, set(serials.values())):
        left.setdefault((row["serial"], row["log_id"]), set()).add(row["sector"])
    rows = zip(*(part[name].tolist() for name in ("observer", "log_id", "sector")), strict=True)
    return np.array(
        [sector not in left.get((serials.get(band, ""), log), ()) for band, log, sector in rows],
        np.bool_,
    )
