"""When a band must have recorded whatever it heard: what its silence then says.

A near band is heard within a minute. Where one band's log tells of minutes near another, and the
other's, which covers that time, tells of none, the two contradict each other.
"""

from collections import defaultdict

from sqlalchemy import Connection, select

from zoneband.server import ledger
from zoneband.server.people import People
from zoneband.wire import log, records

_WHOLE = (1 << log.SLOTS) - 1
Span = tuple[float, float]


class Cover:
    """What the logs of some bands cover, by band id; each is looked up when it is asked for."""

    def __init__(self, db: Connection, people: People) -> None:
        self._db = db
        self._people = people
        self._known: dict[int, list[Span]] = {}

    def seconds(self, band: int, from_s: float, to_s: float) -> float:
        """How much of a span a band's log covers, in seconds. Of a log that has lost something, or
        of which something has not come: nothing."""
        if band not in self._known:
            self._known[band] = self._find(band)
        return sum(
            max(0.0, min(to_s, end) - max(from_s, begin)) for begin, end in self._known[band]
        )

    def _find(self, band: int) -> list[Span]:
        serial = self._people.serial.get(band)
        if serial is None or not self._whole(serial):
            return []
        # What a band neither sends nor records in: a dock, and the time between two wearers.
        away: list[Span] = []
        docked_s: float | None = None
        idle_s: float | None = None
        table = ledger.marks
        marks = self._db.execute(
            select(table.c.kind, table.c.value, table.c.utc_s)
            .where(
                table.c.serial == serial,
                table.c.kind.in_((records.DOCK, records.STATE)),
                table.c.utc_s.is_not(None),
            )
            .order_by(table.c.utc_s, table.c.log_id, table.c.sector, table.c.slot)
        )
        for kind, value, utc_s in marks:
            if kind == records.DOCK:
                if value == records.BEGAN and docked_s is None:
                    docked_s = utc_s
                elif value == records.ENDED and docked_s is not None:
                    away.append((docked_s, utc_s))
                    docked_s = None
            elif value == records.ISSUED and idle_s is not None:
                away.append((idle_s, utc_s))
                idle_s = None
            elif value != records.ISSUED and idle_s is None:
                idle_s = utc_s
        away += [(start_s, float("inf")) for start_s in (docked_s, idle_s) if start_s is not None]
        return [part for span in self._people.kept.get(band, []) for part in _without(span, away)]

    def _whole(self, serial: str) -> bool:
        lost = select(ledger.losses.c.serial).where(ledger.losses.c.serial == serial)
        if self._db.execute(lost.limit(1)).first() is not None:
            return False
        table = ledger.slots
        rows = self._db.execute(
            select(table.c.log_id, table.c.sector, table.c.held, table.c.wrong)
            .where(table.c.serial == serial)
            .order_by(table.c.log_id, table.c.sector)
        )
        logs: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
        for log_id, sector, held, wrong in rows:
            if any(wrong):
                return False
            logs[log_id].append((sector, held))
        for sectors in logs.values():
            for (sector, held), (following, _) in zip(sectors, sectors[1:], strict=False):
                if following != sector + 1 or int.from_bytes(held, "little") != _WHOLE:
                    return False
        return True


def _without(span: Span, away: list[Span]) -> list[Span]:
    parts = [span]
    for begin, end in away:
        kept: list[Span] = []
        for a, b in parts:
            if a < min(b, begin):
                kept.append((a, min(b, begin)))
            if max(a, end) < b:
                kept.append((max(a, end), b))
        parts = kept
    return parts
