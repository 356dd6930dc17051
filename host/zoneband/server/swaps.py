"""Wearers who swapped bands: two who put on each other's for a while, by mistake or not.

A band's records tell what the band met. Whom that was is another question: while two wearers had
each other's bands on, either band's records, and the records of it, are of the other wearer. A
trace asks for wearers, so it exchanges the two bands in that span before it counts anything.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, delete, insert, or_, select

from zoneband.server import ledger
from zoneband.server.refused import Refused


class Swap(NamedTuple):
    """From from_s to before to_s (UTC) the wearer of either band had the other one on; a, b:
    serials."""

    id: int
    a: str
    b: str
    from_s: int
    to_s: int

    def other(self, serial: str) -> str:
        """The other band of the two."""
        return self.b if serial == self.a else self.a

    def as_json(self) -> dict[str, Any]:
        """Keys and values of an answer."""
        return {
            "id": self.id,
            "bands": [self.a, self.b],
            "from_s": self.from_s,
            "to_s": self.to_s,
        }


class Swaps:
    """The swaps of one ledger. Writes take turns by the server's own lock."""

    def __init__(
        self, engine: Engine, lock: AbstractContextManager[Any], utc: Callable[[], float]
    ) -> None:
        """utc: Unix seconds now."""
        self._engine = engine
        self._lock = lock
        self._utc = utc

    def note(self, serial_a: str, serial_b: str, from_s: int, to_s: int) -> Swap:
        """Note a swap, harmless to repeat. Raises Unknown for a band that is not enrolled, and
        Refused."""
        if serial_a == serial_b:
            raise Refused("swap_itself", wrong=True, serial=serial_a)
        now_s = int(self._utc())
        if to_s <= from_s:
            raise Refused("span_backwards", wrong=True)
        if from_s > now_s:
            raise Refused("swap_ahead", wrong=True, from_s=from_s)
        a, b = sorted((serial_a, serial_b))
        with self._lock, self._engine.begin() as db:
            for serial in (a, b):
                _refuse_venue(db, serial)
            for swap in noted(db, (a, b), from_s, to_s):
                if (swap.a, swap.b, swap.from_s, swap.to_s) == (a, b, from_s, to_s):
                    return swap
                # Of two swaps of one band at one time, nobody could tell who had it on.
                raise Refused("swap_overlaps", **swap.as_json())
            made = db.execute(
                insert(ledger.swaps).values(
                    serial_a=a, serial_b=b, from_s=from_s, to_s=to_s, noted_s=now_s
                )
            )
            assert made.inserted_primary_key is not None
            return Swap(int(made.inserted_primary_key[0]), a, b, from_s, to_s)

    def every(self) -> list[Swap]:
        """All that were noted, oldest first."""
        with self._engine.connect() as db:
            return noted(db)

    def undo(self, serial_a: str, serial_b: str, from_s: int, to_s: int) -> Swap:
        """Strike out a swap that was noted by mistake. Raises Refused when there is none."""
        a, b = sorted((serial_a, serial_b))
        with self._lock, self._engine.begin() as db:
            for swap in noted(db, (a,), from_s, to_s):
                if (swap.a, swap.b, swap.from_s, swap.to_s) == (a, b, from_s, to_s):
                    db.execute(delete(ledger.swaps).where(ledger.swaps.c.id == swap.id))
                    return swap
        raise Refused("no_swap", a=a, b=b)


def noted(
    db: Connection,
    serials: Iterable[str] | None = None,
    from_s: int | None = None,
    to_s: int | None = None,
) -> list[Swap]:
    """Swaps that touch [from_s, to_s), of any band or of some, oldest first."""
    table = ledger.swaps
    found = select(table).order_by(table.c.from_s, table.c.id)
    if serials is not None:
        names = list(serials)
        found = found.where(or_(table.c.serial_a.in_(names), table.c.serial_b.in_(names)))
    if from_s is not None:
        found = found.where(table.c.to_s > from_s)
    if to_s is not None:
        found = found.where(table.c.from_s < to_s)
    return [
        Swap(row.id, row.serial_a, row.serial_b, row.from_s, row.to_s) for row in db.execute(found)
    ]


def _refuse_venue(db: Connection, serial: str) -> None:
    found = select(ledger.bands.c.role).where(ledger.bands.c.serial == serial)
    role = db.execute(found).scalar()
    if role is None:
        raise ledger.Unknown
    if role == "venue":
        raise Refused("venue", wrong=True, serial=serial)
