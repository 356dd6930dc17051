"""Which encounters the server must not keep, whoever brings them, and however often: those of days
that retention has dropped, and those of wearers who were erased."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, func, select

from zoneband.retention import DAY_S
from zoneband.server import ledger, store
from zoneband.server.moments import HAND_OVER_S
from zoneband.wire import records

UNPLACED_DAY = 0  # 1970-01-01: encounters whose boot has no clock point yet


class Erased(NamedTuple):
    """A band (its id) on somebody who was erased, UTC seconds; to_s None: to this day."""

    band: int
    from_s: int
    to_s: int | None


@dataclass(frozen=True)
class Unwanted:
    """first_day: the first UTC day that is kept. Not by the clock of the moment: one that is wrong
    would have new records refused for good."""

    first_day: int
    erased: Sequence[Erased] = ()

    def rows(self, columns: store.Columns) -> npt.NDArray[np.bool_]:
        """Which of some rows, whose times and contacts are known as far as they can be, must not be
        kept. What no clock point places is of its wearer's when the band had no other before."""
        start = columns["start_s"]
        days = start // DAY_S
        placed = days != UNPLACED_DAY
        drop = placed & (days < self.first_day)
        observer, contact = columns["observer"], columns["contact"]
        for band, from_s, to_s in self.erased:
            own = observer == band
            mine = own | (contact == band)
            if not mine.any():
                continue
            there = placed & (start >= from_s)
            if to_s is not None:
                there &= start < to_s
            drop |= mine & there
            if from_s == 0:
                drop |= own & ~placed
        return drop


def load(db: Connection, erasure: str | None = None) -> Unwanted:
    """As the ledger has it; or of one erasure alone."""
    spans, bands = ledger.erased_spans, ledger.bands
    found = select(spans, bands.c.id.label("band")).join(bands, bands.c.serial == spans.c.serial)
    if erasure is not None:
        found = found.where(spans.c.erasure == erasure)
    erased = [
        Erased(row.band, row.from_s, end_s(db, row.serial, row.from_s, row.to_s, row.number))
        for row in db.execute(found)
    ]
    if erasure is not None:
        return Unwanted(0, erased)
    day = db.execute(select(ledger.retention.c.first_day)).scalar()
    return Unwanted(0 if day is None else day, erased)


def end_s(
    db: Connection, serial: str, from_s: int, to_s: int | None, number: int | None
) -> int | None:
    """When a time with a band ends: to_s, or when its wearer, by the hand-out's number, gives it to
    the next, as far as its log tells; None while nothing tells."""
    if to_s is not None:
        return to_s
    table = ledger.marks
    next_s = select(func.min(table.c.utc_s)).where(
        table.c.serial == serial,
        table.c.kind == records.STATE,
        table.c.value == records.ISSUED,
        table.c.utc_s >= from_s,
        table.c.number != number,
    )
    found = db.execute(next_s).scalar()
    return None if found is None else found - HAND_OVER_S
