"""What a trace must know of the bands it names: serials, wearers in turn, their own clocks."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Column, Connection, select

from zoneband.server import ledger
from zoneband.server.ingest import timelines
from zoneband.wire import bluezone, records

# Clock marks come every 15 minutes: further from one than this, a band's clock is not known.
_KNOWN_S = 1800
# A state mark may stand a moment behind the first encounter of the new wearer.
_HAND_OVER_S = 60
_MANY = 500  # values in one SQL list


class People:
    """Facts of some bands, by the ledger's band id."""

    def __init__(self, db: Connection, bands: set[int]) -> None:
        self.serial: dict[int, str] = {}
        self.role: dict[int, str] = {}
        table = ledger.bands
        for row in _rows(db, table.c.id, bands):
            self.serial[row["id"]] = row["serial"]
            self.role[row["id"]] = row["role"]
        ids = {serial: band for band, serial in self.serial.items()}
        self._issues: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for row in _rows(db, ledger.marks.c.serial, ids):
            issued = row["kind"] == records.STATE and row["value"] == records.ISSUED
            if issued and row["utc_s"] is not None:
                self._issues[ids[row["serial"]]].append((row["utc_s"], row["number"]))
        # A band's hand-outs in turn: their numbers are random, and a mark may come twice.
        self._numbers: dict[int, list[int]] = {}
        for band, issues in self._issues.items():
            issues.sort()
            self._numbers[band] = list(dict.fromkeys(number for _since_s, number in issues))
        self._bands = ids
        spans: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in _rows(db, ledger.clock_spans.c.serial, ids):
            spans[ids[row["serial"]]].append(row)
        # (true UTC from, to, the band's own UTC minus true UTC)
        self._running: dict[int, list[tuple[float, float, float]]] = {}
        for band, rows in spans.items():
            lines = timelines(rows)
            self._running[band] = [
                (true_s := line.utc(row["run_s"]), line.utc(row["until_s"]), row["utc_s"] - true_s)
                for row in rows
                if row["of_band"] and (line := lines[row["boot_id"]])
            ]

    def holder(self, band: int, at_s: int) -> int:
        """Which wearer in turn had the band at a time, from 1; 0 before the first that is known."""
        found = 0
        for since_s, number in self._issues.get(band, ()):
            if since_s <= at_s + _HAND_OVER_S:
                found = self._numbers[band].index(number) + 1
        return found

    def number(self, serial: str, holder: int) -> int:
        """Number of the hand-out of a wearer in turn; 0 when it is not known."""
        numbers = self._numbers.get(self._bands[serial], [])
        return numbers[holder - 1] if 0 < holder <= len(numbers) else 0

    def in_time(self, band: int, due_s: int, start_s: int, duration_s: int) -> bool | None:
        """Whether a band sent the ID of 15 minutes from due_s (its own UTC) at that true time,
        give or take one ID; None while its own log does not tell its clock."""
        known: bool | None = None
        for from_s, to_s, off_s in self._running.get(band, ()):
            if from_s - _KNOWN_S <= start_s <= to_s + _KNOWN_S:
                own_s = start_s + off_s
                slot_s = bluezone.SLOT_S
                if due_s - slot_s <= own_s + duration_s and own_s < due_s + 2 * slot_s:
                    return True
                known = False
        return known


def _rows(db: Connection, column: Column[Any], values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    every = list(values)
    for at in range(0, len(every), _MANY):
        found = select(column.table).where(column.in_(every[at : at + _MANY]))
        for row in db.execute(found).mappings():
            yield {str(name): value for name, value in row.items()}
