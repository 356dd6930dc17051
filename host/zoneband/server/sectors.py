"""Sectors of band logs in the ledger: what was held, what was proved, what is wrong.

Every pull is judged together with all that came of the same sectors before, so that the order of
uploads does not matter and a genuine slot counts against an altered one.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from zoneband import batch as batches
from zoneband.batch import Batch, BatchHeader
from zoneband.server import ledger, parse
from zoneband.server.opener import Opener
from zoneband.server.parse import Placed, Source
from zoneband.wire import log, readers, records

Span = tuple[int, int]
"""Cursors of a log: from the first to before the second."""

_MASK_BYTES = log.SLOTS // 8
_MOST_RESENDS = 3
_MOST_GAPS = 20


def key_ids(batch: Batch) -> set[int]:
    """Numbers of the authority's keys that the sealed sectors of a batch need."""
    found: set[int] = set()
    for cursor, slots in batch.chunks:
        for i in range(-cursor % log.SLOTS * log.SLOT_BYTES, len(slots), log.SECTOR_BYTES):
            key_id = parse.sealed_to(slots[i : i + log.SLOT_BYTES])
            if key_id is not None:
                found.add(key_id)
    return found


class Sectors:
    """Works batches into the rows of their sectors, inside the caller's transaction."""

    def __init__(self, raw: Path) -> None:
        """raw: the directory of batches."""
        self._raw = raw

    def _read(self, name: str) -> Batch:
        return batches.unpack((self._raw / name).read_bytes())

    # --- taking in --------------------------------------------------------------------------

    def take(
        self,
        db: Connection,
        name: str,
        batch: Batch,
        opener: Opener,
        waits: Callable[[int], bool],
        log_format: int,
    ) -> list[Placed]:
        """Judge the sectors of a batch; their records that were not taken before. waits: whether
        the key of a number may still come into memory; log_format: the lowest that the band
        writes."""
        header = batch.header
        mine = parse.split(batch.chunks)
        if not mine:
            return []
        known = self._known(db, header, min(mine), max(mine))
        sources = self._others(db, name, header, min(mine), max(mine))
        open_below = self._open_below(db, header, log_format)
        end = max(self._last(db, header), max(mine))
        fresh: list[Placed] = []
        rows: list[dict[str, Any]] = []
        # What comes behind a sector may change what its end means.
        before = [n - 1 for n in mine if n - 1 in known and n - 1 not in mine]
        for number in sorted([*mine, *before]):
            row = known.get(number)
            if row is not None and _says_nothing_new(row, mine.get(number, []), sources, number):
                continue
            every = _distinct([*sources.get(number, []), *mine.get(number, [])])
            if not every or _locked(header.log_id, number, every, opener, waits):
                continue
            behind = [*sources.get(number + 1, []), *mine.get(number + 1, [])]
            found = parse.judge(
                header.log_id,
                number,
                every,
                opener,
                last=number == end,
                behind=behind,
                open_below=open_below,
            )
            if found.sealed:
                open_below = min(open_below, number)
            seen = _mask(row["seen"]) if row else 0
            for placed in found.records:
                if not seen >> placed.slot & 1:
                    seen |= 1 << placed.slot
                    fresh.append(placed)
            rows.append(_row(header, found, seen, row))
        if rows:
            new = upsert(ledger.slots)
            names = [n for n in rows[0] if n not in ("serial", "log_id", "sector")]
            changed = {n: new.excluded[n] for n in names}
            keys = ["serial", "log_id", "sector"]
            db.execute(new.on_conflict_do_update(index_elements=keys, set_=changed), rows)
        self._losses(db, header, fresh)
        return fresh

    def _known(
        self, db: Connection, header: BatchHeader, first: int, last: int
    ) -> dict[int, dict[str, Any]]:
        table = ledger.slots
        rows = db.execute(
            select(table).where(
                table.c.serial == header.serial,
                table.c.log_id == header.log_id,
                table.c.sector.between(first - 1, last),
            )
        ).mappings()
        return {row["sector"]: {str(k): v for k, v in row.items()} for row in rows}

    def _others(
        self, db: Connection, name: str, header: BatchHeader, first: int, last: int
    ) -> dict[int, list[Source]]:
        # What other batches brought of these sectors, of the one before and the one behind.
        out: dict[int, list[Source]] = {}
        span = (first - 1) * log.SLOTS, (last + 2) * log.SLOTS
        for other in _names(db, header.serial, header.log_id, span):
            if other == name:
                continue
            for number, sources in parse.split(self._read(other).chunks).items():
                if first - 1 <= number <= last + 1:
                    out[number] = _distinct([*out.get(number, []), *sources])
        return out

    def _open_below(self, db: Connection, header: BatchHeader, log_format: int) -> int:
        # Below this sector number the band may have written in format 0. Whoever could have made
        # a log in format 0 of a band that seals would need no key.
        table = ledger.slots
        rows = db.execute(
            select(table.c.log_id, func.min(table.c.sector))
            .where(table.c.serial == header.serial, table.c.sealed)
            .group_by(table.c.log_id)
        )
        sealed = {row[0]: row[1] for row in rows}
        if log_format == log.FORMAT_SEALED or any(other != header.log_id for other in sealed):
            return 0
        return sealed.get(header.log_id, 1 << 32)

    def _last(self, db: Connection, header: BatchHeader) -> int:
        table = ledger.slots
        found = select(func.max(table.c.sector)).where(
            table.c.serial == header.serial, table.c.log_id == header.log_id
        )
        last = db.execute(found).scalar()
        return -1 if last is None else last

    def _losses(self, db: Connection, header: BatchHeader, fresh: Iterable[Placed]) -> None:
        rows: list[dict[str, Any]] = []
        for placed in fresh:
            if placed.record[0] == records.LOSS:
                _, reason, first, end = readers.read_loss(placed.record)
                row = {"serial": header.serial, "log_id": header.log_id, "reason": reason}
                rows.append(row | {"first": first, "end": end})
        if rows:
            db.execute(upsert(ledger.losses).on_conflict_do_nothing(), rows)

    # --- receipts ---------------------------------------------------------------------------

    def gapless(
        self, db: Connection, serial: str, log_id: int, first: int
    ) -> tuple[int, int, bytes]:
        """(first, upto, SHA-256 of the slots in between) as far as all are settled: from a band's
        receipted cursor on, or from where the losses end that it declared there. A band hashes
        every slot from its receipted cursor on, which is never before its oldest slot."""
        lost = _lost(db, serial, log_id)
        for span in lost:
            if span[0] <= first < span[1]:
                first = span[1]
        upto = first
        chosen: list[tuple[int, bytes]] = []
        for number, row in _rows(db, serial, log_id, first // log.SLOTS):
            start = number * log.SLOTS
            if start > upto:
                break
            good = _mask(row["settled"]) | _mask(row["held"]) & _bits(lost, number)
            open_ = ~good & parse.ALL & -1 << (upto - start)
            upto = start + ((open_ & -open_).bit_length() - 1 if open_ else log.SLOTS)
            if row["chosen"] is not None:
                chosen.append((start, row["chosen"]))
            if open_:
                break
        held = bytearray((upto - first) * log.SLOT_BYTES)
        laid: list[Span] = []
        for name in _names(db, serial, log_id, (first, upto)) if held else ():
            for cursor, slots in self._read(name).chunks:
                _lay(held, first, cursor, slots)
                laid.append((max(first, cursor), cursor + len(slots) // log.SLOT_BYTES))
        for cursor, slots in chosen:
            _lay(held, first, cursor, slots)
        # An older program's rows say of whole sectors what is true of the slots that came.
        laid = _joined(laid, upto)
        upto = laid[0][1] if laid and laid[0][0] == first else first
        del held[(upto - first) * log.SLOT_BYTES :]
        return first, upto, hashlib.sha256(held).digest()

    def resend(self, db: Connection, name: str) -> int | None:
        """The cursor from which the band must be pulled again because what this batch brought, or
        what should have come right before it, was altered or missing. Each place is asked for
        three times at most: in flash too it may be so."""
        batch = self._read(name)
        header = batch.header
        begin = min([header.first, *(cursor for cursor, _ in batch.chunks)])
        serial, log_id = header.serial, header.log_id
        lost = _joined([*_lost(db, serial, log_id), *_waiting(db, serial, log_id)], 1 << 32)
        table = ledger.resends
        for first, end in _joined(self._wrong(db, header, lost), header.end):
            if end < begin or first >= header.end:
                continue
            asked = db.execute(
                select(table.c.name).where(
                    table.c.serial == serial, table.c.log_id == log_id, table.c.cursor == first
                )
            ).scalars()
            names = list(asked)
            if name in names:
                return first
            if len(names) < _MOST_RESENDS:
                row = {"serial": serial, "log_id": log_id, "cursor": first, "name": name}
                db.execute(insert(table).values(row))
                return first
        return None

    def _wrong(self, db: Connection, header: BatchHeader, lost: list[Span]) -> Iterator[Span]:
        # Spans, from the band's receipted cursor to the end of a batch, that are not as they were.
        first = header.receipted
        at = first
        for number, row in _rows(db, header.serial, header.log_id, first // log.SLOTS):
            start = number * log.SLOTS
            if start >= header.end:
                break
            bad = (_mask(row["wrong"]) | ~_mask(row["held"])) & ~_bits(lost, number) & parse.ALL
            if start > at:
                # No batch brought these sectors.
                yield from _without((at, start), lost)
            for span in _spans(bad, start):
                if (here := (max(span[0], first), min(span[1], header.end)))[0] < here[1]:
                    yield here
            at = start + log.SLOTS
        yield from _without((at, header.end), lost)

    # --- state ------------------------------------------------------------------------------

    def state(self, db: Connection, serial: str) -> list[dict[str, Any]]:
        """Every log of a band: its end, when its last batch came, how many slots are wrong by
        kind, `gaps`, the spans that nobody brought and no loss mark declares, and how many batches
        wait for the authority's key."""
        logs: dict[int, dict[str, Any]] = {}
        for row in db.execute(select(ledger.batches).where(ledger.batches.c.serial == serial)):
            entry = logs.setdefault(row.log_id, {"log_id": row.log_id, "end": 0, "came_s": 0})
            entry["end"] = max(entry["end"], row.end)
            entry["came_s"] = max(entry["came_s"], row.came_s)
        for log_id, entry in logs.items():
            entry |= {"torn": 0, "altered": 0, "missing": 0, "foreign": 0}
            waiting = _waiting(db, serial, log_id)
            entry["waiting"] = len(waiting)
            lost = _joined([*_lost(db, serial, log_id), *waiting], 1 << 32)
            gaps: list[Span] = []
            at = 0
            for number, row in _rows(db, serial, log_id, 0):
                for kind in ("torn", "altered", "missing", "foreign"):
                    entry[kind] += row[kind]
                start = number * log.SLOTS
                gaps += _without((at, start), lost)
                open_ = ~_mask(row["held"]) & ~_bits(lost, number) & parse.ALL
                gaps += [(a, min(b, entry["end"])) for a, b in _spans(open_, start)]
                at = start + log.SLOTS
            gaps = _joined([*gaps, *_without((at, entry["end"]), lost)], entry["end"])
            entry["missing"] += sum(end - first for first, end in gaps)
            entry["gaps"] = [list(gap) for gap in gaps[:_MOST_GAPS]]
            entry["bad_slots"] = entry["altered"] + entry["missing"] + entry["foreign"]
        return list(logs.values())


# --- masks and spans ------------------------------------------------------------------------


def _mask(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


def _raw(mask: int) -> bytes:
    return mask.to_bytes(_MASK_BYTES, "little")


def _spans(mask: int, start: int) -> list[Span]:
    # Runs of ones, as cursors of the sector that starts there.
    out: list[Span] = []
    at = 0
    while mask >> at:
        at += ((mask >> at) & -(mask >> at)).bit_length() - 1
        ones = ~(mask >> at)
        size = (ones & -ones).bit_length() - 1
        out.append((start + at, start + at + size))
        at += size
    return out


def _bits(spans: Iterable[Span], number: int) -> int:
    # The slots of a sector that are in some span.
    start = number * log.SLOTS
    mask = 0
    for first, end in spans:
        low, high = max(0, first - start), min(log.SLOTS, end - start)
        if low < high:
            mask |= (1 << high) - (1 << low)
    return mask


def _without(span: Span, holes: Iterable[Span]) -> Iterator[Span]:
    # Parts of a span that are in none of the holes, which are in order.
    first, end = span
    for low, high in holes:
        if low < end and high > first:
            if low > first:
                yield first, low
            first = max(first, high)
    if first < end:
        yield first, end


def _joined(spans: Iterable[Span], end: int) -> list[Span]:
    # Spans in order, those that touch made one, none reaching behind `end`.
    out: list[Span] = []
    for first, until in sorted(spans):
        if first >= min(until, end):
            continue
        if out and out[-1][1] >= first:
            out[-1] = out[-1][0], max(out[-1][1], min(until, end))
        else:
            out.append((first, min(until, end)))
    return out


def _lay(held: bytearray, first: int, cursor: int, slots: bytes) -> None:
    # Slots into the bytes of a span that begins at `first`.
    at = (cursor - first) * log.SLOT_BYTES
    slots = slots[max(0, -at) : max(0, len(held) - at)]
    held[max(0, at) : max(0, at) + len(slots)] = slots


# --- rows -----------------------------------------------------------------------------------


def _lost(db: Connection, serial: str, log_id: int) -> list[Span]:
    # What the band itself declared lost.
    table = ledger.losses
    rows = db.execute(
        select(table.c.first, table.c.end)
        .where(table.c.serial == serial, table.c.log_id == log_id)
        .order_by(table.c.first)
    )
    return _joined([(row.first, row.end) for row in rows], 1 << 32)


def _waiting(db: Connection, serial: str, log_id: int) -> list[Span]:
    # What batches brought that are not worked in yet.
    table = ledger.batches
    rows = db.execute(
        select(table.c.first, table.c.end).where(
            table.c.serial == serial, table.c.log_id == log_id, ~table.c.ingested
        )
    )
    return [(row.first, row.end) for row in rows]


def _locked(
    log_id: int,
    number: int,
    sources: list[Source],
    opener: Opener,
    waits: Callable[[int], bool],
) -> bool:
    # Whether a sector can only be opened once a key comes into memory.
    numbers = [parse.sealed_to(slot) for slot in parse.headers(log_id, number, sources)]
    sealed = [number for number in numbers if number is not None]
    return any(map(waits, sealed)) and not any(map(opener.has, sealed))


def _rows(
    db: Connection, serial: str, log_id: int, first: int
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    table = ledger.slots
    rows = db.execute(
        select(table)
        .where(table.c.serial == serial, table.c.log_id == log_id, table.c.sector >= first)
        .order_by(table.c.sector)
    ).mappings()
    for row in rows:
        yield row["sector"], {str(k): v for k, v in row.items()}


def _names(db: Connection, serial: str, log_id: int, span: Span) -> list[str]:
    # Batches that touch a span, oldest first.
    table = ledger.batches
    rows = db.execute(
        select(table.c.name)
        .where(
            table.c.serial == serial,
            table.c.log_id == log_id,
            table.c.first < span[1],
            table.c.end > span[0],
        )
        .order_by(table.c.came_s)
    )
    return list(rows.scalars())


def _distinct(sources: list[Source]) -> list[Source]:
    # A source that says only what another says is none of its own.
    if len(sources) < 2:
        return sources
    out: list[Source] = []
    for source in sources:
        for other in out:
            both = zip(source, other, strict=True)
            if all(a is None or b is None or a == b for a, b in both):
                for at, slot in enumerate(source):
                    if slot is not None:
                        other[at] = slot
                break
        else:
            out.append(list(source))
    return out


def _says_nothing_new(
    row: Mapping[str, Any], mine: list[Source], sources: Mapping[int, list[Source]], number: int
) -> bool:
    if _mask(row["settled"]) != parse.ALL:
        return False
    known = sources.get(number, [])
    return all(
        slot is None or any(other[at] == slot for other in known)
        for source in mine
        for at, slot in enumerate(source)
    )


def _row(
    header: BatchHeader, found: parse.Sector, seen: int, before: Mapping[str, Any] | None
) -> dict[str, Any]:
    # Altered and foreign slots are told for good, even when the genuine ones come later.
    old = before or {"altered": 0, "foreign": 0, "sealed": False}
    return {
        "serial": header.serial,
        "log_id": header.log_id,
        "sector": found.number,
        "seen": _raw(seen),
        "held": _raw(found.held),
        "settled": _raw(found.settled),
        "wrong": _raw(found.altered | found.missing | found.foreign),
        "torn": found.torn.bit_count(),
        "altered": max(found.altered.bit_count(), old["altered"]),
        "missing": found.missing.bit_count(),
        "foreign": max(found.foreign.bit_count(), old["foreign"]),
        "sealed": found.sealed or bool(old["sealed"]),
        "chosen": found.chosen,
    }
