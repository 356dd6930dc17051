"""What a trace must know of the bands it names: serials, wearers in turn, their own clocks."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from zoneband.server import ledger
from zoneband.server.ingest import timelines
from zoneband.server.moments import HAND_OVER_S
from zoneband.server.timeline import Timeline
from zoneband.wire import bluezone, records

# Clock marks come every 15 minutes: further from one than this, a band's clock is not known.
_KNOWN_S = 1800


class HandOut(NamedTuple):
    """A wearer in turn, from 1, of a band, with the number of the hand-out; UTC seconds, to_s None
    while no later one is known."""

    holder: int
    number: int
    from_s: int
    to_s: int | None

    def touches(self, from_s: int, to_s: int) -> bool:
        """Whether the wearer had the band at some moment of [from_s, to_s)."""
        return self.from_s < to_s and (self.to_s is None or self.to_s > from_s)


class People:
    """Facts of some bands, by the ledger's band id."""

    def __init__(self, db: Connection, bands: Iterable[int]) -> None:
        self._db = db
        self.serial: dict[int, str] = {}
        self.role: dict[int, str] = {}
        self._bands: dict[str, int] = {}
        self._issues: dict[int, list[tuple[int, int]]] = defaultdict(list)
        # A band's hand-outs in turn: their numbers are random, and a mark may come twice.
        self._numbers: dict[int, list[int]] = {}
        self._lines: dict[int, dict[int, Timeline]] = {}
        # Of each boot, from and to when the band's log tells what it heard.
        self.kept: dict[int, list[tuple[float, float]]] = {}
        # (true UTC from, to, the band's own UTC minus true UTC)
        self._running: dict[int, list[tuple[float, float, float]]] = {}
        self.learn(bands)

    def learn(self, bands: Iterable[int]) -> None:
        """Of these bands too, while the connection is open."""
        db = self._db
        ids: dict[str, int] = {}
        for row in ledger.rows(db, ledger.bands.c.id, set(bands) - self.serial.keys()):
            self.serial[row["id"]] = row["serial"]
            self.role[row["id"]] = row["role"]
            ids[row["serial"]] = row["id"]
        self._bands |= ids
        for row in ledger.rows(db, ledger.marks.c.serial, ids):
            issued = row["kind"] == records.STATE and row["value"] == records.ISSUED
            if issued and row["utc_s"] is not None:
                self._issues[ids[row["serial"]]].append((row["utc_s"], row["number"]))
        for band in ids.values():
            issues = self._issues[band]
            issues.sort()
            self._numbers[band] = list(dict.fromkeys(number for _since_s, number in issues))
        spans: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in ledger.rows(db, ledger.clock_spans.c.serial, ids):
            spans[ids[row["serial"]]].append(row)
        for band, rows in spans.items():
            lines = self._lines[band] = timelines(rows)
            self.kept[band] = _kept(rows, lines)
            self._running[band] = [
                (true_s := line.utc(row["run_s"]), line.utc(row["until_s"]), row["utc_s"] - true_s)
                for row in rows
                if row["of_band"] and (line := lines[row["boot_id"]])
            ]

    def holder(self, band: int, at_s: int) -> int:
        """Which wearer in turn had the band at a time, from 1; 0 before the first that is known."""
        found = 0
        for since_s, number in self._issues.get(band, ()):
            if since_s <= at_s + HAND_OVER_S:
                found = self._numbers[band].index(number) + 1
        return found

    def holders(self, band: int, from_s: int, to_s: int) -> int:
        """How many wearers had the band in a span, as far as its log tells."""
        turns = self.hand_outs(self.serial.get(band, ""))
        return sum(turn.touches(from_s, to_s) for turn in turns)

    def hand_outs(self, serial: str) -> list[HandOut]:
        """The wearers in turn that the band's own log tells of; [] for a band that is not here."""
        issues = self._issues.get(self._bands.get(serial, 0), [])
        found: list[HandOut] = []
        for since_s, number in issues:
            if any(each.number == number for each in found):
                continue
            if found:
                found[-1] = found[-1]._replace(to_s=since_s)
            found.append(HandOut(len(found) + 1, number, since_s, None))
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

    def docked(self, band: int) -> bool:
        """Whether a band has ever brought its log."""
        return band in self.kept

    def error_s(self, band: int, boot_id: int, run_s: int) -> float | None:
        """How wrong the time of a record may be, in seconds; None where nobody can say."""
        line = self._lines.get(band, {}).get(boot_id)
        return None if line is None else line.error_s(run_s)


def _kept(
    rows: Iterable[dict[str, Any]], lines: Mapping[int, Timeline]
) -> list[tuple[float, float]]:
    runs: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        runs[row["boot_id"]] += (row["run_s"], row["until_s"])
    return [(lines[boot].utc(min(at)), lines[boot].utc(max(at))) for boot, at in runs.items()]
