"""Which bands a wearer had: hand-outs in turn, and replacements of lost bands."""

from typing import NamedTuple

from sqlalchemy import Connection, or_, select

from zoneband.server import ledger
from zoneband.server.moments import HAND_OVER_S
from zoneband.server.people import HandOut, People
from zoneband.wire import records

# Nobody gets so many bands one after the other; a ring of forged events must end.
_MOST = 16


class Worn(NamedTuple):
    """A band on its wearer, UTC seconds."""

    serial: str
    from_s: int
    to_s: int


def hand_outs(db: Connection, serial: str) -> list[HandOut]:
    """A band's wearers in turn, as far as its log tells. Raises Unknown."""
    found = select(ledger.bands.c.id).where(ledger.bands.c.serial == serial)
    band = db.execute(found).scalar()
    if band is None:
        raise ledger.Unknown
    return People(db, {band}).hand_outs(serial)


def worn(db: Connection, serial: str, number: int, from_s: int, to_s: int) -> list[Worn]:
    """The bands that the wearer of a hand-out had in [from_s, to_s), in order of time: that one,
    those that it replaced, and those that replaced it."""
    found: list[Worn] = []
    for band, hand_out in same_wearer(db, serial, number):
        for turn in hand_outs(db, band):
            if turn.number != hand_out:
                continue
            start = max(from_s, turn.from_s - HAND_OVER_S)
            end = to_s if turn.to_s is None else min(to_s, turn.to_s - HAND_OVER_S)
            left = _left_s(db, band, hand_out)
            if left is not None:
                end = min(end, left)
            if start < end:
                found.append(Worn(band, start, end))
    return sorted(found, key=lambda each: each.from_s)


def same_wearer(db: Connection, serial: str, number: int) -> list[tuple[str, int]]:
    """The hand-outs (serial, number) of the wearer of one of them, that one first."""
    table = ledger.events
    found = [(serial, number)]
    for band, hand_out in found:
        if len(found) >= _MOST:
            break
        rows = db.execute(
            select(table.c.serial, table.c.number, table.c.new_serial, table.c.new_number).where(
                table.c.event == "replaced",
                or_(
                    (table.c.serial == band) & (table.c.number == hand_out),
                    (table.c.new_serial == band) & (table.c.new_number == hand_out),
                ),
            )
        )
        for row in rows:
            for each in ((row[0], row[1]), (row[2], row[3])):
                # 0: the station did not know which hand-out it was.
                if each[0] is not None and each[1] and each not in found:
                    found.append(each)
    return found


def ended_s(db: Connection, serial: str, number: int) -> int | None:
    """When the wearer of a hand-out had a band for the last time (UTC), as far as bands' logs and
    stations' records tell; None while a band may be worn."""
    last = 0
    for band, hand_out in same_wearer(db, serial, number):
        left = gave_up_s(db, band, hand_out)
        if left is None:
            return None
        last = max(last, left)
    return last


def gave_up_s(db: Connection, serial: str, number: int) -> int | None:
    """When the band of a hand-out was returned, lost, or handed to somebody else; None while
    nothing tells so."""
    table = ledger.events
    mine = (table.c.serial == serial) & (table.c.number == number)
    events = db.execute(select(table.c.event, table.c.utc_s).where(mine)).all()
    ends = [event.utc_s for event in events if event.event != "found"]
    found_s = max((event.utc_s for event in events if event.event == "found"), default=-1)
    ends = [utc_s for utc_s in ends if utc_s > found_s]
    marks = ledger.marks
    given = db.execute(
        select(marks.c.number, marks.c.value, marks.c.utc_s)
        .where(
            marks.c.serial == serial,
            marks.c.kind == records.STATE,
            marks.c.utc_s.is_not(None),
        )
        .order_by(marks.c.utc_s)
    ).all()
    since_s = min(
        (row.utc_s for row in given if row.value == records.ISSUED and row.number == number),
        default=None,
    )
    if since_s is not None:
        ends += [
            row.utc_s
            for row in given
            if row.utc_s > since_s and (row.value != records.ISSUED or row.number != number)
        ]
    return min(ends, default=None)


def _left_s(db: Connection, serial: str, number: int) -> int | None:
    # When another band replaced it.
    table = ledger.events
    rows = db.execute(
        select(table.c.utc_s).where(
            table.c.event == "replaced", table.c.serial == serial, table.c.number == number
        )
    )
    return min((int(row.utc_s) for row in rows), default=None)
