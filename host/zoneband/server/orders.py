"""Orders of the tracing server to bands; how they look on the way stands in zoneband.wire.orders.

Numbers grow band by band from 1, and a band carries out none that is not above its last: a later
one that is done makes those before it void.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update

from zoneband.server import ledger
from zoneband.wire import orders as wire
from zoneband.wire import records

KINDS = {
    "unlock": wire.UNLOCK,
    "rekey": wire.REKEY,
    "dock_key": wire.DOCK_KEY,
    "retire": wire.RETIRE,
    "clock": wire.CLOCK,
}
BY_HAND = ("unlock", "rekey", "retire", "clock")
CLOCK_S = 7 * 86400  # how long an order to set the clock may be used
_MADE_UP = 1 << 30  # a mark of such a number is no band's; numbers end at 2**31 - 1
_NAMES = {kind: name for name, kind in KINDS.items()}


class Orders:
    """The orders of one ledger. Writes take turns by the server's own lock."""

    def __init__(
        self, engine: Engine, lock: AbstractContextManager[Any], utc: Callable[[], float]
    ) -> None:
        """utc: Unix seconds now."""
        self._engine = engine
        self._lock = lock
        self._utc = utc

    def make(self, serial: str, kind: str) -> int:
        """Make an order by hand, its kind one of BY_HAND; its number. Raises Unknown."""
        now_s = int(self._utc())
        body = wire.clock_body(now_s, now_s + CLOCK_S) if kind == "clock" else b""
        with self._lock, self._engine.begin() as db:
            _receipt_key(db, serial)
            return add(db, serial, KINDS[kind], body, now_s)

    def pending(self, serial: str, after: int = 0) -> list[bytes]:
        """Orders (76 bytes each) that a band has not carried out, with a number above `after`,
        oldest first. Raises Unknown."""
        with self._engine.connect() as db:
            return pending(db, serial, after, self._utc())

    def every(self, serial: str) -> list[dict[str, Any]]:
        """All orders of a band, oldest first: kind, number, made_s (UTC) and whether it is done.
        Raises Unknown."""
        table = ledger.orders
        with self._engine.connect() as db:
            _receipt_key(db, serial)
            rows = db.execute(
                select(table).where(table.c.serial == serial).order_by(table.c.number)
            )
            return [
                {
                    "kind": _NAMES[row.kind],
                    "number": row.number,
                    "made_s": row.made_s,
                    "done": row.done_s is not None,
                }
                for row in rows
            ]


def pending(db: Connection, serial: str, after: int, now_s: float) -> list[bytes]:
    """As Orders.pending."""
    table = ledger.orders
    key = _receipt_key(db, serial)
    rows = db.execute(
        select(table.c.number, table.c.kind, table.c.data)
        .where(table.c.serial == serial, table.c.number > max(after, _last(db, serial)))
        .order_by(table.c.number)
    )
    return [
        wire.pack(key, serial, row.number, row.kind, row.data)
        for row in rows
        if row.kind != wire.CLOCK or wire.read_clock(row.data)[1] >= now_s
    ]


def add(db: Connection, serial: str, kind: int, body: bytes, made_s: int) -> int:
    """Make an order of a kind of zoneband.wire.orders; its number, above all that were made: the
    band's own marks know of those that a restored ledger has forgotten."""
    table, marks = ledger.orders, ledger.marks
    found = select(func.max(table.c.number)).where(table.c.serial == serial)
    carried_out = select(func.max(marks.c.number)).where(
        marks.c.serial == serial, marks.c.kind == records.ORDER, marks.c.number < _MADE_UP
    )
    number = max(db.execute(found).scalar() or 0, db.execute(carried_out).scalar() or 0) + 1
    db.execute(
        insert(table).values(serial=serial, number=number, kind=kind, data=body, made_s=made_s)
    )
    return number


def executed(db: Connection, serial: str, now_s: int) -> None:
    """Note the orders that the marks of a band's log call done, and whose key its dock key is of
    since then. A mark of an order that was never made says nothing. An order to set the clock that
    a later order has overtaken is made again."""
    table, marks = ledger.orders, ledger.marks
    rows = db.execute(
        select(table.c.number, table.c.kind, table.c.data, func.min(marks.c.utc_s).label("utc_s"))
        .join(marks, (marks.c.serial == table.c.serial) & (marks.c.number == table.c.number))
        .where(
            table.c.serial == serial,
            table.c.done_s.is_(None),
            marks.c.kind == records.ORDER,
            marks.c.value == table.c.kind,
        )
        .group_by(table.c.number, table.c.kind, table.c.data)
        .order_by(table.c.number)
    )
    for row in list(rows):
        done_s = now_s if row.utc_s is None else row.utc_s
        db.execute(
            update(table)
            .where(table.c.serial == serial, table.c.number == row.number)
            .values(done_s=done_s)
        )
        if row.kind == wire.DOCK_KEY:
            number, generation, _key = wire.read_dock_key(row.data)
            db.execute(
                update(ledger.bands)
                .where(ledger.bands.c.serial == serial)
                .values(group_number=number, group_generation=generation)
            )
    _again(db, serial, now_s)


def _again(db: Connection, serial: str, now_s: int) -> None:
    # A band waits with a clock order for its clock to be set; one that comes then voids it.
    table = ledger.orders
    newest = db.execute(
        select(table)
        .where(table.c.serial == serial, table.c.kind == wire.CLOCK)
        .order_by(table.c.number.desc())
        .limit(1)
    ).first()
    if newest is None or newest.done_s is not None or newest.number > _last(db, serial):
        return
    if wire.read_clock(newest.data)[1] >= now_s:
        add(db, serial, wire.CLOCK, newest.data, now_s)


def _last(db: Connection, serial: str) -> int:
    # The highest number that the band has carried out.
    table = ledger.orders
    found = select(func.max(table.c.number)).where(
        table.c.serial == serial, table.c.done_s.is_not(None)
    )
    return db.execute(found).scalar() or 0


def _receipt_key(db: Connection, serial: str) -> bytes:
    found = select(ledger.bands.c.receipt_key).where(ledger.bands.c.serial == serial)
    key = db.execute(found).scalar()
    if key is None:
        raise ledger.Unknown
    return key
