"""What a trace must say about itself: what is missing in it, and what was taken into account."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select

from zoneband.server import ledger
from zoneband.server.people import People
from zoneband.server.sealed import SealedRecords
from zoneband.server.swaps import Swap
from zoneband.tracing.engine import Bad

_AHEAD_S = 86_400  # no clock that is right is so far ahead of this computer's


def log_notes(
    db: Connection, people: People, band: int, from_s: int, to_s: int, now_s: int
) -> list[dict[str, Any]]:
    """What a band's own log lacks in [from_s, to_s), and who had the band in it."""
    serial = people.serial[band]
    notes: list[dict[str, Any]] = []
    if not people.docked(band):
        notes.append({"code": "never_docked", "serial": serial})
    else:
        until_s = round(max(end for _begin, end in people.kept[band]))
        if until_s < min(to_s, now_s):
            notes.append({"code": "docked_until", "serial": serial, "utc_s": until_s})
        if until_s > now_s + _AHEAD_S:
            notes.append({"code": "clock_ahead", "serial": serial, "utc_s": until_s})
    table = ledger.batches
    waiting = select(table.c.name).where(table.c.serial == serial, ~table.c.ingested)
    if count := len(list(db.execute(waiting))):
        notes.append({"code": "log_locked", "serial": serial, "batches": count})
    turns = [turn for turn in people.hand_outs(serial) if turn.touches(from_s, to_s)]
    if len(turns) > 1:
        holders = [
            {"holder": t.holder, "number": t.number, "from_s": t.from_s, "to_s": t.to_s}
            for t in turns
        ]
        notes.append({"code": "handed_on", "serial": serial, "holders": holders})
    return notes


def segment_notes(bad: Iterable[Bad]) -> list[dict[str, Any]]:
    """Days (UTC) of which something could not be read."""
    days = {(each.path.parent.name.removeprefix("day="), each.missing) for each in bad}
    return [
        {"code": "segment_missing" if missing else "segment_damaged", "day": day}
        for day, missing in sorted(days)
    ]


def swap_notes(
    found: Iterable[Swap], serials: set[str], from_s: int, to_s: int
) -> list[dict[str, Any]]:
    """Swaps of some of these bands in [from_s, to_s)."""
    return [
        {"code": "swapped", **swap.as_json()}
        for swap in found
        if serials & {swap.a, swap.b} and swap.from_s < to_s and swap.to_s > from_s
    ]


def name_notes(db: Connection, sealed: SealedRecords) -> list[dict[str, Any]]:
    """Whether names and phones are there that nobody can read now."""
    hidden = sealed.locked() and sealed.has_people(db)
    return [{"code": "names_sealed"}] if hidden else []


def case_notes(db: Connection, serial: str, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Withdrawn cases of a band, unless another wearer's is open. numbers: hand-outs that the
    trace is of; a case whose wearer is not known is of any."""
    table = ledger.cases
    rows = list(db.execute(select(table).where(table.c.serial == serial).order_by(table.c.id)))
    rows = [row for row in rows if row.number is None or not numbers or row.number in numbers]
    if not rows or rows[-1].state != "withdrawn":
        return []
    last = rows[-1]
    return [{"code": "withdrawn", "number": last.id, "utc_s": last.ended_s, "reason": last.reason}]
