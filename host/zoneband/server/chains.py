"""Chains of IDs: each band's base key, and the ones it drew since, by their own growing numbers.

A new base key comes in two records of the band's sealed log. From then on the band's IDs are of
the new chain; the old one may be published, and whoever sends its later IDs is not the band.

Whoever knows a band's receipt key can write such records too. A band draws a key only when it is
ordered to, for the day that it is: what is more, or of another day, is not taken.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, select, update

from zoneband.batch import BatchHeader
from zoneband.server import ledger
from zoneband.server.database import insert_new, upsert
from zoneband.server.parse import Placed
from zoneband.server.timeline import Timeline
from zoneband.wire import bluezone, log, orders, readers, records

FIRST_DAY = 20_454  # 2026-01-01: no band is older
AHEAD_DAYS = 2  # what a clock that is fast may lead to
_NEAR_DAYS = 22
# An order that a cut interrupts is carried out again, with another key.
_MOST_AN_ORDER = 8


_HALVES = (
    select(ledger.key_halves)
    .where(ledger.key_halves.c.serial == bindparam("serial"))
    .order_by(ledger.key_halves.c.log_id, ledger.key_halves.c.cursor)
)


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
    row = upsert(db, table).values(
        id=(db.execute(select(func.max(table.c.id))).scalar() or 0) + 1,
        band=band,
        base_day=base_day,
        base_key=base_key,
        from_s=from_s,
    )
    add = row.on_conflict_do_nothing().returning(table.c.id)
    return db.execute(add).first() is not None


def known(db: Connection, base_key: bytes) -> bool:
    """Whether some band has this base key."""
    table = ledger.chains
    return db.execute(select(table.c.id).where(table.c.base_key == base_key)).first() is not None


def note(
    db: Connection,
    header: BatchHeader,
    fresh: Iterable[Placed],
    lines: Mapping[int, Timeline],
) -> bool:
    """Keep the halves of new base keys among new records; True when there are any."""
    rows: list[dict[str, Any]] = []
    for placed in fresh:
        if placed.record[0] != records.NEW_KEY or not placed.sealed:
            continue
        at, half, day, key = readers.read_new_key(placed.record)
        line = lines.get(placed.boot_id)
        run_s = placed.base_s + at
        rows.append(
            {
                "serial": header.serial,
                "log_id": header.log_id,
                "cursor": log.cursor(placed.sector, placed.slot),
                "half": half,
                "day": day,
                "key": key,
                "utc_s": round(line.utc(run_s)) if line else None,
                "boot_id": placed.boot_id,
                "run_s": run_s,
            }
        )
    if rows:
        db.execute(insert_new(db, ledger.key_halves), rows)
    return bool(rows)


def settle(db: Connection, serial: str, band: int, today: int) -> bool:
    """Make chains of what is known of a band's new keys, and mend since when it has them; True when
    a chain is new or changed. today: the UTC day now."""
    keys = list(_whole_keys(db, serial))
    if not keys:
        return False
    table = ledger.chains
    have = {
        row.base_key: row for row in db.execute(select(table).where(table.c.band == band)).all()
    }
    room = _MOST_AN_ORDER * _ordered(db, serial) - (len(have) - 1)
    changed = False
    for day, key, utc_s in keys:
        if key in have:
            if utc_s is not None and have[key].from_s != utc_s:
                db.execute(update(table).where(table.c.base_key == key).values(from_s=utc_s))
                changed = True
        elif room > 0 and _may_be(day, utc_s, today) and add(db, band, day, key, utc_s):
            room -= 1
            changed = True
    return changed


def _whole_keys(db: Connection, serial: str) -> Iterator[tuple[int, bytes, int | None]]:
    # (day, key, UTC) of every key of which both halves are here, whichever batch they came in.
    rows = db.execute(_HALVES, {"serial": serial})
    first: Any = None
    for row in rows.all():
        if row.half == 0:
            # A cut between the halves leaves a first half that counts for nothing.
            first = row
        elif first is not None and (row.log_id, row.day) == (first.log_id, first.day):
            yield row.day, first.key + row.key, row.utc_s
            first = None


def _ordered(db: Connection, serial: str) -> int:
    # How many orders a band has had that make it draw a key.
    table = ledger.orders
    kinds = orders.REKEY, orders.CLOCK
    found = select(func.count()).where(table.c.serial == serial, table.c.kind.in_(kinds))
    return db.execute(found).scalar_one()


def _may_be(day: int, utc_s: int | None, today: int) -> bool:
    # Whether a band could draw a key for that day; its time may be wrong, or not known yet.
    if not FIRST_DAY <= day <= today + AHEAD_DAYS:
        return False
    return day >= today - _NEAR_DAYS or (
        utc_s is not None and abs(day - utc_s // bluezone.DAY_S) <= _NEAR_DAYS
    )
