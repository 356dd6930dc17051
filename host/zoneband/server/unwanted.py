"""Which encounters the server must not keep, whoever brings them, and however often: those of days
that retention has dropped, and those of wearers who were erased."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, Connection, bindparam, func, literal, select

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
        if not self.erased:
            return drop
        bands = np.array(sorted({each.band for each in self.erased}))
        at = np.flatnonzero(np.isin(observer, bands) | np.isin(contact, bands))
        drop[at] |= self._theirs(observer[at], contact[at], start[at], placed[at])
        return drop

    def _theirs(
        self,
        observer: npt.NDArray[np.int64],
        contact: npt.NDArray[np.int64],
        start: npt.NDArray[np.int64],
        placed: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.bool_]:
        # Of rows that hold such a band at any time, which are few of a large segment.
        drop = np.zeros(len(start), np.bool_)
        there_are = {*np.unique(observer).tolist(), *np.unique(contact).tolist()}
        for band, from_s, to_s in self.erased:
            if band not in there_are:
                continue
            own = observer == band
            mine = own | (contact == band)
            there = placed & (start >= from_s)
            if to_s is not None:
                there &= start < to_s
            drop |= mine & there
            if from_s == 0:
                drop |= own & ~placed
        return drop


def load(db: Connection, erasure: str | None = None) -> Unwanted:
    """As the ledger has it; or of one erasure alone."""
    if erasure is not None:
        day, found = 0, db.execute(_OF_ONE, {"erasure": erasure})
    else:
        day = db.execute(_FIRST_DAY).scalar() or 0
        found = db.execute(_OF_ALL, {"first_s": day * DAY_S})
    return Unwanted(
        day, [Erased(row.band, row.from_s, _end_s(row.to_s, row.next_s)) for row in found]
    )


def end_s(
    db: Connection, serial: str, from_s: int, to_s: int | None, number: int | None
) -> int | None:
    """When a time with a band ends: to_s, or when its wearer, by the hand-out's number, gives it to
    the next, as far as its log tells; None while nothing tells."""
    values = literal(serial), literal(from_s), literal(number or 0)
    return _end_s(to_s, db.execute(select(_next_hand_out(*values))).scalar())


def _end_s(to_s: int | None, next_s: int | None) -> int | None:
    if to_s is not None:
        return to_s
    return None if next_s is None else next_s - HAND_OVER_S


def _next_hand_out(
    serial: ColumnElement[str], from_s: ColumnElement[int], number: ColumnElement[int]
) -> ColumnElement[int | None]:
    # When a band was handed out by another number, first after a time.
    table = ledger.marks
    return (
        select(func.min(table.c.utc_s))
        .where(
            table.c.serial == serial,
            table.c.kind == records.STATE,
            table.c.value == records.ISSUED,
            table.c.utc_s >= from_s,
            table.c.number != number,
        )
        .scalar_subquery()
    )


# Made once: to make a statement takes longer than to carry it out.
_FIRST_DAY = select(ledger.retention.c.first_day)
_spans = ledger.erased_spans
_SPANS = select(
    ledger.bands.c.id.label("band"),
    _spans.c.from_s,
    _spans.c.to_s,
    _next_hand_out(_spans.c.serial, _spans.c.from_s, _spans.c.number).label("next_s"),
).join(ledger.bands, ledger.bands.c.serial == _spans.c.serial)
_OF_ONE = _SPANS.where(_spans.c.erasure == bindparam("erasure"))
# What ended before the days that are kept asks for nothing more.
_OF_ALL = _SPANS.where(_spans.c.to_s.is_(None) | (_spans.c.to_s > bindparam("first_s")))
