"""Marks of bands' logs in times whose wearer was erased."""

from sqlalchemy import Connection, bindparam, select

from zoneband.server import gone, ledger, unwanted
from zoneband.server.erasures import Part
from zoneband.wire import records

_EVER = 1 << 40
_SPANS = select(ledger.erased_spans).where(ledger.erased_spans.c.serial == bindparam("serial"))


def end_s(db: Connection, part: Part) -> int:
    """When a part ends, as far as is known now, UTC seconds."""
    found = unwanted.end_s(db, part.serial, part.from_s, part.to_s, part.number)
    return _EVER if found is None else found


def drop(db: Connection, part: Part) -> int:
    """Forget what a band's own log told of some time, but for its hand-outs, which say where the
    next wearer's time begins, and its orders; how many marks."""
    table = ledger.marks
    issued = (table.c.kind == records.STATE) & (table.c.value == records.ISSUED)
    there = (table.c.utc_s >= part.from_s) & (table.c.utc_s < end_s(db, part))
    kept = issued | (table.c.kind == records.ORDER)
    return gone.drop_rows(db, table, (table.c.serial == part.serial) & there & ~kept)


def again(db: Connection, serial: str) -> None:
    """Forget the marks of a band that came after its wearer was erased."""
    for row in db.execute(_SPANS, {"serial": serial}).all():
        drop(db, Part(serial, row.from_s, row.to_s, row.number))
