"""Slots of band logs that are gone: dropped with their days, or erased.

Their places stay known, so that they come back with no batch, old or new, and so that a log is not
called incomplete for them. What they held is cut out of the batches' files. Receipts over them
are made and kept before: a band that has not got its receipt yet would wait for it.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from zoneband import durable
from zoneband.batch import Batch
from zoneband.i18n import _
from zoneband.server import brought, kept_batches, ledger, spans, store
from zoneband.server.database import upsert
from zoneband.server.spans import Span
from zoneband.wire import log, receipt

_SIZE = log.SLOT_BYTES
_say = logging.getLogger(__name__)

# Made once: to make a statement takes longer than to carry it out.
_RECEIPT = select(ledger.kept_receipts.c.upto, ledger.kept_receipts.c.mac).where(
    ledger.kept_receipts.c.serial == bindparam("serial"),
    ledger.kept_receipts.c.log_id == bindparam("log_id"),
    ledger.kept_receipts.c.first == bindparam("first"),
)
_STRIPS = (
    select(
        ledger.batches.c.name,
        ledger.batches.c.serial,
        ledger.batches.c.log_id,
        ledger.batches.c.station,
    )
    .join(ledger.strips, ledger.strips.c.name == ledger.batches.c.name)
    .order_by(ledger.batches.c.came_s)
)

Slots = Callable[[Connection, str, int, int, str], tuple[int, int, bytes]]
"""As zoneband.server.sectors.Sectors.genuine."""


class Log(NamedTuple):
    """A band's log."""

    serial: str
    log_id: int


def places(columns: store.Columns, serials: Mapping[int, str]) -> dict[Log, dict[int, int]]:
    """The slots of some rows: masks by log and sector. serials: by band id."""
    found: dict[Log, dict[int, int]] = {}
    names = ("observer", "log_id", "sector", "slot")
    for observer, log_id, sector, slot in zip(*(columns[n].tolist() for n in names), strict=True):
        serial = serials.get(observer)
        if serial is not None:
            sectors = found.setdefault(Log(serial, log_id), {})
            sectors[sector] = sectors.get(sector, 0) | 1 << slot
    return found


def drop_rows(db: Connection, table: Table, which: ColumnElement[bool]) -> int:
    """Delete rows of a table that say in which slot of which log they stood, and note these as
    gone; how many."""
    names = (table.c.serial, table.c.log_id, table.c.sector, table.c.slot)
    found: dict[Log, dict[int, int]] = {}
    for serial, log_id, sector, slot in db.execute(select(*names).where(which)):
        sectors = found.setdefault(Log(serial, log_id), {})
        sectors[sector] = sectors.get(sector, 0) | 1 << slot
    for where, sectors in found.items():
        mark(db, where, sectors)
    return db.execute(delete(table).where(which)).rowcount


def mark(db: Connection, where: Log, sectors: Mapping[int, int]) -> None:
    """Note slots of a log as gone; `Cutter.run` then cuts them out of the batches. sectors: masks
    by number."""
    table = ledger.slots
    mine = (table.c.serial == where.serial) & (table.c.log_id == where.log_id)
    for row in db.execute(
        select(table.c.sector, table.c.gone, table.c.chosen).where(
            mine, table.c.sector.between(min(sectors), max(sectors))
        )
    ).all():
        now = sectors.get(row.sector, 0)
        if not now:
            continue
        gone = spans.mask(row.gone) | now
        values: dict[str, Any] = {"gone": spans.raw(gone)}
        if row.chosen is not None:
            values["chosen"] = _blank(row.chosen, gone)
        db.execute(update(table).where(mine, table.c.sector == row.sector).values(**values))
    kept = ledger.batches
    names = db.execute(
        select(kept.c.name).where(
            kept.c.serial == where.serial,
            kept.c.log_id == where.log_id,
            kept.c.first < (max(sectors) + 1) * log.SLOTS,
            kept.c.end > min(sectors) * log.SLOTS,
            kept.c.dropped_s.is_(None),
        )
    ).scalars()
    rows = [{"name": name} for name in names]
    if rows:
        db.execute(upsert(db, ledger.strips).on_conflict_do_nothing(), rows)


def masks(db: Connection, serial: str, log_id: int, sectors: Iterable[int]) -> dict[int, int]:
    """The slots of some sectors of a log that are gone; sectors without any are left out."""
    table = ledger.slots
    wanted = set(sectors)
    if not wanted:
        return {}
    rows = db.execute(
        select(table.c.sector, table.c.gone).where(
            table.c.serial == serial,
            table.c.log_id == log_id,
            table.c.sector.between(min(wanted), max(wanted)),
        )
    )
    found = {row.sector: spans.mask(row.gone) for row in rows if row.sector in wanted}
    return {sector: mask for sector, mask in found.items() if mask}


def cut(batch: Batch, gone: Mapping[int, int]) -> Batch:
    """A batch without some slots: masks by sector."""
    chunks: list[tuple[int, bytes]] = []
    for cursor, slots in batch.chunks:
        whole = (cursor, cursor + len(slots) // _SIZE)
        for first, end in spans.without(whole, _holes(gone, whole)):
            chunks.append((first, slots[(first - cursor) * _SIZE : (end - cursor) * _SIZE]))
    return Batch(batch.header, tuple(chunks))


def _holes(gone: Mapping[int, int], span: Span) -> list[Span]:
    first, last = span[0] // log.SLOTS, (span[1] - 1) // log.SLOTS
    found = [
        hole
        for sector in range(first, last + 1)
        for hole in spans.of_mask(gone.get(sector, 0), sector * log.SLOTS)
    ]
    return spans.joined(found, span[1])


def _blank(chosen: bytes, gone: int) -> bytes:
    out = bytearray(chosen)
    for first, end in spans.of_mask(gone, 0):
        out[first * _SIZE : end * _SIZE] = bytes((end - first) * _SIZE)
    return bytes(out)


class Cutter:
    """Cuts slots that are gone out of batches. Whenever it is killed, `run` does what is left."""

    def __init__(self, engine: Engine, raw: Path, genuine: Slots) -> None:
        """raw: the directory of batches; genuine: the slots that a receipt may be given for."""
        self._engine = engine
        self._raw = raw
        self._genuine = genuine

    def run(self) -> int:
        """Cut all that is to be cut; how many batches. Takes turns by the server's own lock. Raises
        what went wrong with one log when all others are cut; the next time tries it again."""
        with self._engine.connect() as db:
            rows = db.execute(_STRIPS).all()
        logs: dict[Log, list[Any]] = {}
        for row in rows:
            logs.setdefault(Log(row.serial, row.log_id), []).append(row)
        wrong: list[Exception] = []
        for where, mine in logs.items():
            try:
                found = {row.name: self._read(row.name) for row in mine}
                with self._engine.begin() as db:
                    self._keep_receipts(db, where, list(found.values()), mine[-1].station)
                for name, batch in found.items():
                    self._cut(where, name, batch)
            except Exception as error:
                wrong.append(error)
        if wrong:
            raise wrong[0]
        return len(rows)

    def _read(self, name: str) -> Batch | None:
        try:
            return kept_batches.read(self._raw / name)
        except (FileNotFoundError, ValueError):
            _say.exception(_("Batch %s cannot be read any more."), name)
            return None

    def _cut(self, where: Log, name: str, batch: Batch | None) -> None:
        table = ledger.pieces
        with self._engine.connect() as db:
            rows = db.execute(select(table).where(table.c.name == name)).all()
            sectors = brought.spans(batch.chunks) if batch else {}
            gone = masks(db, *where, [*sectors, *(row.sector for row in rows)])
        if batch is not None and any(gone.get(n, 0) & mask for n, mask in sectors.items()):
            data = kept_batches.cut(cut(batch, gone))
            durable.write(self._raw / name, lambda f: f.write(data))
        with self._engine.begin() as db:
            for row in rows:
                left = spans.mask(row.slots) & ~gone.get(row.sector, 0)
                same = table.c.id == row.id
                if left:
                    db.execute(update(table).where(same).values(slots=spans.raw(left)))
                else:
                    db.execute(delete(table).where(same))
            db.execute(delete(ledger.strips).where(ledger.strips.c.name == name))

    # --- receipts ---------------------------------------------------------------------------

    def _keep_receipts(
        self, db: Connection, where: Log, found: Iterable[Batch | None], station: str
    ) -> None:
        # From where the band may stand, as far as can be; and over each hole alone, for one that
        # stands right before it.
        bands = ledger.bands
        key = db.execute(select(bands.c.receipt_key).where(bands.c.serial == where.serial)).scalar()
        there = [batch for batch in found if batch is not None]
        if key is None or not there:
            return
        wanted: dict[int, int | None] = {batch.header.receipted: None for batch in there}
        sectors = {n for batch in there for n in brought.spans(batch.chunks)}
        for number, mask in masks(db, *where, sectors).items():
            wanted |= dict(spans.of_mask(mask, number * log.SLOTS))
        for first, end, slots in self._spans(db, where, wanted, station):
            digest = hashlib.sha256(slots).digest()
            made = receipt.mac(key, where.serial, where.log_id, first, end, digest)
            _keep(db, where, first, end, made)

    def _spans(
        self, db: Connection, where: Log, wanted: Mapping[int, int | None], station: str
    ) -> Iterator[tuple[int, int, bytes]]:
        start, upto, slots = 0, 0, b""
        for first, end in sorted(wanted.items()):
            if not start <= first < upto:
                start, upto, slots = self._genuine(db, *where, first, station)
            at = max(first, start)  # what the band declared lost before is not asked for
            until = upto if end is None else min(end, upto)
            if at < until:
                yield at, until, slots[(at - start) * _SIZE : (until - start) * _SIZE]


def _keep(db: Connection, where: Log, first: int, upto: int, mac: bytes) -> None:
    table = ledger.kept_receipts
    same = (
        (table.c.serial == where.serial)
        & (table.c.log_id == where.log_id)
        & (table.c.first == first)
    )
    before = db.execute(select(table.c.upto).where(same)).scalar()
    if before is None:
        row = {"serial": where.serial, "log_id": where.log_id, "first": first}
        db.execute(insert(table).values(**row, upto=upto, mac=mac))
    elif before < upto:
        db.execute(update(table).where(same).values(upto=upto, mac=mac))


def kept_receipt(db: Connection, where: Log, first: int) -> tuple[int, bytes] | None:
    """(upto, MAC) of a receipt that was made before its slots were gone."""
    row = db.execute(_RECEIPT, {**where._asdict(), "first": first}).first()
    return None if row is None else (row.upto, row.mac)
