"""Sectors of band logs in the ledger: what was held, what was proved, what is wrong.

Every pull is judged together with all that came of the same sectors before, so that the order of
uploads does not matter and a genuine slot counts against an altered one.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from zoneband.batch import Batch, BatchHeader
from zoneband.server import brought, ledger, parse, pieces, spans
from zoneband.server.brought import Brought
from zoneband.server.database import insert_new, insert_or_replace
from zoneband.server.opener import Opener
from zoneband.server.parse import Placed
from zoneband.server.pieces import Pieces
from zoneband.server.spans import Span
from zoneband.wire import log, readers, records

_MOST_RESENDS = 3
_MOST_GAPS = 20
_EVERY = 1 << 32
_SIZE = log.SLOT_BYTES
Rows = dict[int, dict[str, Any]]
"""Rows of ledger.slots of one log, by sector."""

# Made once: to make a statement takes longer than to carry it out.
_slots, _batches = ledger.slots, ledger.batches
_NAMES = tuple(column.name for column in _slots.columns)
_of_log = (_slots.c.serial == bindparam("serial")) & (_slots.c.log_id == bindparam("log_id"))
_SOME = select(_slots).where(_of_log, _slots.c.sector.in_(bindparam("sectors", expanding=True)))
_SPAN = (
    select(_slots)
    .where(_of_log, _slots.c.sector.between(bindparam("low"), bindparam("high")))
    .order_by(_slots.c.sector)
)
_LOGS = (
    select(
        _slots.c.log_id,
        func.max(_slots.c.sector).label("last"),
        func.min(_slots.c.sector).filter(_slots.c.sealed).label("sealed"),
    )
    .where(_slots.c.serial == bindparam("serial"))
    .group_by(_slots.c.log_id)
)
_WAITING = (
    select(_batches.c.name)
    .where(
        _batches.c.serial == bindparam("serial"),
        _batches.c.log_id == bindparam("log_id"),
        _batches.c.station == bindparam("station"),
        _batches.c.name != bindparam("name"),
        ~_batches.c.ingested,
    )
    .limit(1)
)
_LOST = (
    select(ledger.losses.c.first, ledger.losses.c.end)
    .where(
        ledger.losses.c.serial == bindparam("serial"),
        ledger.losses.c.log_id == bindparam("log_id"),
    )
    .order_by(ledger.losses.c.first)
)


def key_ids(batch: Batch) -> set[int]:
    """Numbers of the authority's keys that the sealed sectors of a batch need."""
    found: set[int] = set()
    for cursor, slots in batch.chunks:
        for i in range(-cursor % log.SLOTS * log.SLOT_BYTES, len(slots), log.SECTOR_BYTES):
            key_id = brought.sealed_to(slots[i : i + log.SLOT_BYTES])
            if key_id is not None:
                found.add(key_id)
    return found


class Sectors:
    """Works batches into the rows of their sectors, inside the caller's transaction."""

    def __init__(self, raw: Path) -> None:
        """raw: the directory of batches."""
        self.pieces = Pieces(raw)

    # --- taking in --------------------------------------------------------------------------

    def take(
        self,
        db: Connection,
        name: str,
        station: str,
        batch: Batch,
        opener: Opener,
        waits: Callable[[int], bool],
        log_format: int,
        known: Rows | None = None,
    ) -> tuple[list[Placed], bool]:
        """Judge the sectors of a batch: their records that were not taken before, and whether all
        sectors could be judged. waits: whether the key of a number may still come into memory;
        log_format: the lowest that the band writes; known: as `around` found it, if it was asked
        before."""
        header = batch.header
        mine = brought.split(batch.chunks)
        if not mine:
            return [], True
        near = _near(mine)
        if known is None:
            known = self.around(db, header, mine)
        sources = self.pieces.sources(db, header, name, near)
        nothing_new: list[int] = []
        for number, later in mine.items():
            told = sources.setdefault(number, {})
            before = told.pop(station, None)
            if before is None:
                before = later
            elif not before.fold(later):
                nothing_new.append(number)
            told[station] = before
        last, open_below = self._log(db, header, log_format)
        end = max(last, max(mine))
        fresh: list[Placed] = []
        rows: list[dict[str, Any]] = []
        locked: set[int] = set()
        unsaid = set(nothing_new)
        # What comes behind a sector may change what its end means.
        also = [n - 1 for n in mine if n - 1 in known and n - 1 not in mine and n - 1 in sources]
        for number in sorted([*mine, *also]):
            row = known.get(number)
            if number in unsaid and row and spans.mask(row["settled"]) == parse.ALL:
                continue
            every = [*sources[number].values()]
            if _locked(header.log_id, number, every, opener, waits):
                locked.add(number)
                continue
            found = parse.judge(
                header.log_id,
                number,
                every,
                opener,
                last=number == end,
                behind=[*sources.get(number + 1, {}).values()],
                open_below=open_below,
                proved=_proved(row),
            )
            if found.sealed:
                open_below = min(open_below, number)
            seen = spans.mask(row["seen"]) if row else 0
            for placed in found.records:
                if not seen >> placed.slot & 1:
                    seen |= 1 << placed.slot
                    fresh.append(placed)
            rows.append(_row(header, found, seen, row))
        if rows:
            db.execute(insert_or_replace(db, _slots), rows)
        self._losses(db, header, fresh)
        whole = locked.isdisjoint(mine)
        if whole and nothing_new:
            self._drop(db, header, station, name, nothing_new)
        return fresh, whole

    def around(self, db: Connection, header: BatchHeader, numbers: Iterable[int]) -> Rows:
        """The rows of some sectors of a log, and of those beside them."""
        out: Rows = {}
        for part in pieces.parts(_near(numbers)):
            log_of = {"serial": header.serial, "log_id": header.log_id}
            for row in db.execute(_SOME, {**log_of, "sectors": part}):
                out[row.sector] = dict(zip(_NAMES, row, strict=True))
        return out

    def _drop(
        self, db: Connection, header: BatchHeader, station: str, name: str, numbers: Sequence[int]
    ) -> None:
        # Pieces that say nothing new; but receipts do not go by what still waits.
        of = {"serial": header.serial, "log_id": header.log_id, "station": station, "name": name}
        if db.execute(_WAITING, of).first() is None:
            self.pieces.drop(db, name, numbers)

    def _log(self, db: Connection, header: BatchHeader, log_format: int) -> tuple[int, int]:
        # The last sector of the log that is known, -1 for none; and the number below which the band
        # may have written in format 0. Whoever could have made a log in format 0 of a band that
        # seals would need no key.
        rows = db.execute(_LOGS, {"serial": header.serial}).all()
        last = next((row.last for row in rows if row.log_id == header.log_id), -1)
        sealed = {row.log_id: row.sealed for row in rows if row.sealed is not None}
        if log_format == log.FORMAT_SEALED or any(other != header.log_id for other in sealed):
            return last, 0
        return last, sealed.get(header.log_id, _EVERY)

    def _losses(self, db: Connection, header: BatchHeader, fresh: Iterable[Placed]) -> None:
        rows: list[dict[str, Any]] = []
        for placed in fresh:
            if placed.record[0] == records.LOSS:
                _, reason, first, end = readers.read_loss(placed.record)
                row = {"serial": header.serial, "log_id": header.log_id, "reason": reason}
                rows.append(row | {"first": first, "end": end})
        if rows:
            db.execute(insert_new(db, ledger.losses), rows)

    # --- receipts ---------------------------------------------------------------------------

    def gapless(
        self,
        db: Connection,
        serial: str,
        log_id: int,
        first: int,
        station: str,
        read: Mapping[str, Batch] | None = None,
    ) -> tuple[int, int, bytes]:
        """(first, upto, SHA-256 of the slots in between) as far as all are settled: from a band's
        receipted cursor on, or from where the losses end that it declared there. A band hashes
        every slot from its receipted cursor on, which is never before its oldest slot.

        A torn slot has no proof: it counts as the station that asks brought it last, and what
        others say of it spoils no receipt but their own. For one that has brought nothing of all
        this, the newest counts. read: batches that need not be read again, by name."""
        first, upto, held = self.genuine(db, serial, log_id, first, station, read)
        return first, upto, hashlib.sha256(held).digest() if held else b""

    def genuine(
        self,
        db: Connection,
        serial: str,
        log_id: int,
        first: int,
        station: str,
        read: Mapping[str, Batch] | None = None,
    ) -> tuple[int, int, bytes]:
        """(first, upto, the slots in between), as `gapless`; what is gone is not among them."""
        lost = _lost(db, serial, log_id)
        for span in lost:
            if span[0] <= first < span[1]:
                first = span[1]
        upto = first
        proved: list[tuple[Span, bytes]] = []
        unproved: list[Span] = []
        for number, row in _rows(db, serial, log_id, first // log.SLOTS, _EVERY):
            start = number * log.SLOTS
            if start > upto:
                break
            good = spans.mask(row["settled"]) | spans.mask(row["held"]) & spans.bits(lost, number)
            open_ = ~good & parse.ALL & -1 << (upto - start)
            upto = start + ((open_ & -open_).bit_length() - 1 if open_ else log.SLOTS)
            unproved += spans.of_mask(good & ~spans.mask(row["proved"]), start)
            if (chosen := row["chosen"]) is not None:
                proved += [
                    (span, chosen[(span[0] - start) * _SIZE : (span[1] - start) * _SIZE])
                    for span in spans.of_mask(
                        spans.mask(row["proved"]) & ~spans.mask(row["gone"]), start
                    )
                ]
            if open_:
                break
        if upto == first:
            return first, first, b""
        held, own, laid = self.pieces.slots(db, serial, log_id, (first, upto), station, read)
        unproved = spans.joined([(max(first, begin), end) for begin, end in unproved], upto)
        for span in unproved if own else ():
            # Nor does what others say of slots that it has not brought.
            upto = min([upto, *(begin for begin, _end in spans.without(span, own))])
        for (begin, end), slots in proved:
            low, high = max(begin, first), min(end, upto)
            if low < high:
                part = slots[(low - begin) * _SIZE : (high - begin) * _SIZE]
                held[(low - first) * _SIZE : (high - first) * _SIZE] = part
                laid.append((low, high))
        # An older program's rows say of whole sectors what is true of the slots that came.
        laid = spans.joined(laid, upto)
        upto = laid[0][1] if laid and laid[0][0] == first else first
        del held[(upto - first) * _SIZE :]
        return first, upto, bytes(held)

    def resend(
        self, db: Connection, name: str, station: str, batch: Batch, waiting: bool
    ) -> int | None:
        """The cursor from which the band must be pulled again by a station because what its batch
        brought, or what should have come right before it, was altered or missing. Each place is
        asked for three times at most: in flash too it may be so. And once where nothing but key
        groups that no record proves explain what is torn. waiting: whether batches of the band may
        not be worked in yet."""
        header = batch.header
        begin = min([header.first, *(cursor for cursor, _ in batch.chunks)])
        serial, log_id = header.serial, header.log_id
        lost = _lost(db, serial, log_id)
        if waiting:
            lost = spans.joined([*lost, *self.pieces.waiting(db, serial, log_id)[1]], _EVERY)
        wrong, doubted = self._wrong(db, header, lost)
        table, kept = ledger.resends, ledger.batches
        for most, places in ((_MOST_RESENDS, wrong), (1, doubted)):
            for first, end in spans.joined(places, header.end):
                if end < begin or first >= header.end:
                    continue
                names = db.execute(
                    select(table.c.name)
                    .join(kept, kept.c.name == table.c.name)
                    .where(
                        table.c.serial == serial,
                        table.c.log_id == log_id,
                        table.c.cursor == first,
                        kept.c.station == station,
                    )
                )
                asked = list(names.scalars())
                if name in asked:
                    return first
                if len(asked) < most:
                    row = {"serial": serial, "log_id": log_id, "cursor": first, "name": name}
                    db.execute(insert(table).values(row))
                    return first
        return None

    def _wrong(
        self, db: Connection, header: BatchHeader, lost: list[Span]
    ) -> tuple[list[Span], list[Span]]:
        # Spans, from the band's receipted cursor to the end of a batch, that are not as they were,
        # and those that may not be.
        first = header.receipted
        at = first
        wrong: list[Span] = []
        doubted: list[Span] = []
        here = first // log.SLOTS, (header.end - 1) // log.SLOTS
        for number, row in _rows(db, header.serial, header.log_id, *here):
            start = number * log.SLOTS
            if start > at:
                # No batch brought these sectors.
                wrong += spans.without((at, start), lost)
            asked = spans.bits([(first, header.end)], number) & ~spans.bits(lost, number)
            bad = (spans.mask(row["wrong"]) | ~spans.mask(row["held"])) & asked
            wrong += spans.of_mask(bad, start)
            doubted += spans.of_mask(spans.mask(row["doubted"]) & asked, start)
            at = start + log.SLOTS
        wrong += spans.without((at, header.end), lost)
        return wrong, doubted

    # --- state ------------------------------------------------------------------------------

    def state(self, db: Connection, serial: str) -> list[dict[str, Any]]:
        """Every log of a band: its end, as far as records prove it, when its last batch came, how
        many slots are wrong by kind, `gaps`, the spans that nobody brought and no loss mark
        declares, and how many batches wait for the authority's key."""
        logs: dict[int, dict[str, Any]] = {}
        for row in db.execute(select(ledger.batches).where(ledger.batches.c.serial == serial)):
            entry = logs.setdefault(row.log_id, {"log_id": row.log_id, "end": 0, "came_s": 0})
            entry["end"] = max(entry["end"], row.end)
            entry["came_s"] = max(entry["came_s"], row.came_s)
        for log_id, entry in logs.items():
            entry |= {"torn": 0, "altered": 0, "missing": 0, "foreign": 0}
            entry["waiting"], waiting = self.pieces.waiting(db, serial, log_id)
            lost = spans.joined([*_lost(db, serial, log_id), *waiting], _EVERY)
            gaps: list[Span] = []
            at = end = 0
            for number, row in _rows(db, serial, log_id, 0, _EVERY):
                for kind in ("torn", "altered", "missing", "foreign"):
                    entry[kind] += row[kind]
                start = number * log.SLOTS
                if settled := spans.mask(row["settled"]):
                    end = start + settled.bit_length()
                gaps += spans.without((at, start), lost)
                open_ = ~spans.mask(row["held"]) & ~spans.bits(lost, number) & parse.ALL
                gaps += spans.of_mask(open_, start)
                at = start + log.SLOTS
            # Where a station only says that the log goes on, nothing is missing yet.
            entry["end"] = min(entry["end"], end)
            gaps = spans.joined(gaps, entry["end"])
            entry["missing"] += sum(end - first for first, end in gaps)
            entry["gaps"] = [list(gap) for gap in gaps[:_MOST_GAPS]]
            entry["bad_slots"] = entry["altered"] + entry["missing"] + entry["foreign"]
        return list(logs.values())


# --- rows -----------------------------------------------------------------------------------


def _lost(db: Connection, serial: str, log_id: int) -> list[Span]:
    # What the band itself declared lost.
    rows = db.execute(_LOST, {"serial": serial, "log_id": log_id})
    return spans.joined([(row.first, row.end) for row in rows], _EVERY)


def _locked(
    log_id: int,
    number: int,
    sources: Sequence[Brought],
    opener: Opener,
    waits: Callable[[int], bool],
) -> bool:
    # Whether a sector can only be opened once a key comes into memory.
    heads = [head for source in sources for head in brought.headers(log_id, number, source)]
    sealed = [key_id for head in heads if (key_id := brought.sealed_to(head)) is not None]
    return any(map(waits, sealed)) and not any(map(opener.has, sealed))


def _near(numbers: Iterable[int]) -> list[int]:
    return sorted({number + step for number in numbers for step in (-1, 0, 1)})


def _rows(
    db: Connection, serial: str, log_id: int, low: int, high: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    # Of the sectors from low to high, in order.
    span = {"serial": serial, "log_id": log_id, "low": low, "high": high}
    for row in db.execute(_SPAN, span):
        yield row.sector, dict(zip(_NAMES, row, strict=True))


def _proved(row: Mapping[str, Any] | None) -> Brought | None:
    # What was proved of a sector of which stations do not agree.
    if row is None or row["chosen"] is None:
        return None
    out = Brought()
    for at in range(log.SLOTS):
        if spans.mask(row["proved"]) >> at & 1:
            out.add(at, row["chosen"][at * log.SLOT_BYTES : (at + 1) * log.SLOT_BYTES])
    return out


def _row(
    header: BatchHeader, found: parse.Sector, seen: int, before: Mapping[str, Any] | None
) -> dict[str, Any]:
    # Altered and foreign slots are told for good, even when the genuine ones come later.
    old = before or {"altered": 0, "foreign": 0, "sealed": False}
    gone = spans.mask(before["gone"]) if before else 0
    # What is gone nobody can judge again, nor what it proved of the slots beside it.
    held, proved, settled = (
        spans.mask(before[name]) if before and gone else 0 for name in ("held", "proved", "settled")
    )
    altered, foreign = found.altered & ~settled, found.foreign & ~settled
    return {
        "serial": header.serial,
        "log_id": header.log_id,
        "sector": found.number,
        "seen": spans.raw(seen),
        "held": spans.raw(found.held | held),
        "proved": spans.raw(found.proved | gone & proved),
        "settled": spans.raw(found.settled | settled),
        "wrong": spans.raw(altered | foreign | found.missing & ~settled),
        "doubted": spans.raw(found.doubted & ~settled),
        "torn": found.torn.bit_count(),
        "altered": max(altered.bit_count(), old["altered"]),
        "missing": (found.missing & ~settled).bit_count(),
        "foreign": max(foreign.bit_count(), old["foreign"]),
        "sealed": found.sealed or bool(old["sealed"]),
        "chosen": found.chosen,
        "gone": spans.raw(gone),
    }
