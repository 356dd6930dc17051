"""Which bands a wearer had: hand-outs in turn, and replacements of lost bands."""

from typing import NamedTuple

from sqlalchemy import Connection, or_, select

from zoneband.server import ledger
from zoneband.server.people import HAND_OVER_S, HandOut, People

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
    for band, hand_out in _same_wearer(db, serial, number):
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


def _same_wearer(db: Connection, serial: str, number: int) -> list[tuple[str, int]]:
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


def _left_s(db: Connection, serial: str, number: int) -> int | None:
    # When another band replaced it.
    table = ledger.events
    rows = db.execute(
        select(table.c.utc_s).where(
            table.c.event == "replaced", table.c.serial == serial, table.c.number == number
        )
    )
    return min((int(row.utc_s) for row in rows), default=None)
