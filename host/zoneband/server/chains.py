"""Chains of IDs: each band's base key, and the ones it drew since, by their own growing numbers.

A new base key comes in two records of the band's sealed log. From then on the band's IDs are of
the new chain; the old one may be published, and whoever sends its later IDs is not the band.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from zoneband.batch import BatchHeader
from zoneband.server import ledger
from zoneband.server.parse import Placed
from zoneband.server.timeline import Timeline
from zoneband.wire import log, readers, records


class KeyChain(NamedTuple):
    """A base key (32 bytes) of a band; base_day counts from 1970; until_s: UTC at which the band
    drew its next one, None while it uses this."""

    id: int
    band: int
    base_day: int
    base_key: bytes
    until_s: int | None = None


def every(db: Connection) -> list[KeyChain]:
    """All chains, by number."""
    rows = list(db.execute(select(ledger.chains).order_by(ledger.chains.c.id)))
    until: dict[int, int | None] = {}
    newer: dict[int, int | None] = {}
    for row in reversed(rows):
        until[row.id] = newer.get(row.band)
        newer[row.band] = row.from_s
    return [KeyChain(r.id, r.band, r.base_day, r.base_key, until[r.id]) for r in rows]


def add(
    db: Connection, band: int, base_day: int, base_key: bytes, from_s: int | None = None
) -> bool:
    """A chain that nobody has yet: True when it is new. from_s: UTC at which the band drew it."""
    table = ledger.chains
    row = upsert(table).values(
        id=(db.execute(select(func.max(table.c.id))).scalar() or 0) + 1,
        band=band,
        base_day=base_day,
        base_key=base_key,
        from_s=from_s,
    )
    return bool(db.execute(row.on_conflict_do_nothing()).rowcount)


def known(db: Connection, base_key: bytes) -> bool:
    """Whether some band has this base key."""
    table = ledger.chains
    return db.execute(select(table.c.id).where(table.c.base_key == base_key)).first() is not None


def note(
    db: Connection,
    header: BatchHeader,
    band: int,
    fresh: Iterable[Placed],
    lines: Mapping[int, Timeline],
) -> bool:
    """Take the new base keys among new records; True when there is a new chain. A key is whole
    once both halves are here, whichever batch they came in."""
    table = ledger.key_halves
    rows: list[dict[str, Any]] = []
    for placed in fresh:
        if placed.record[0] != records.NEW_KEY or not placed.sealed:
            continue
        at, half, day, key = readers.read_new_key(placed.record)
        line = lines.get(placed.boot_id)
        rows.append(
            {
                "serial": header.serial,
                "log_id": header.log_id,
                "cursor": log.cursor(placed.sector, placed.slot),
                "half": half,
                "day": day,
                "key": key,
                "utc_s": round(line.utc(placed.base_s + at)) if line else None,
            }
        )
    if not rows:
        return False
    db.execute(upsert(table).on_conflict_do_nothing(), rows)
    found = db.execute(
        select(table)
        .where(table.c.serial == header.serial, table.c.log_id == header.log_id)
        .order_by(table.c.cursor)
    )
    new = False
    first: Any = None
    for row in found:
        if row.half == 0:
            # A cut between the halves leaves a first half that counts for nothing.
            first = row
        elif first is not None and row.day == first.day:
            new |= add(db, band, row.day, first.key + row.key, row.utc_s)
            first = None
    return new
