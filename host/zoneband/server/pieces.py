"""Which batch brought which slots, and the slots themselves, station by station.

The ledger has a row for every sector that a batch brought. One that only says again what its
station said last is dropped, so that many batches of one sector do not all have to be read.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select

from zoneband.batch import Batch, BatchHeader
from zoneband.i18n import _
from zoneband.server import brought, kept_batches, ledger, spans
from zoneband.server.brought import Brought
from zoneband.server.database import insert_new
from zoneband.server.spans import Span
from zoneband.wire import log

# An honest station's batches bring at least a slot each.
_MOST_BATCHES = 2 * log.SLOTS  # of one sector, from one station
_MANY = 500  # values in one SQL list
_SIZE = log.SLOT_BYTES
_say = logging.getLogger(__name__)
# Made once: to make a statement takes longer than to carry it out.
_pieces, _batches = ledger.pieces, ledger.batches
_of_log = (_pieces.c.serial == bindparam("serial")) & (_pieces.c.log_id == bindparam("log_id"))
_SOURCES = select(_pieces).where(
    _of_log,
    _pieces.c.sector.in_(bindparam("sectors", expanding=True)),
    _pieces.c.name != bindparam("but"),
)
_WORKED_IN = (
    select(_pieces)
    .join(_batches, _batches.c.name == _pieces.c.name)
    .where(
        _of_log,
        _pieces.c.sector.between(bindparam("low"), bindparam("high")),
        _batches.c.ingested,
    )
)
_OWN = _WORKED_IN.where(_pieces.c.station == bindparam("station"))
_OTHERS = _WORKED_IN.where(_pieces.c.station != bindparam("station"))


class Pieces:
    """The pieces of all logs, inside the caller's transaction."""

    def __init__(self, raw: Path) -> None:
        """raw: the directory of batches."""
        self._raw = raw

    def read(self, name: str) -> Batch:
        """A batch that was kept."""
        return kept_batches.read(self._raw / name)

    def _chunks(
        self, name: str, read: Mapping[str, Batch] | None = None
    ) -> tuple[tuple[int, bytes], ...]:
        # Those of one that the disk has spoilt are gone; they hold up no other's.
        try:
            batch = read.get(name) if read else None
            return (batch or self.read(name)).chunks
        except (OSError, ValueError):
            _say.exception(_("Batch %s cannot be read any more."), name)
            return ()

    def note(self, db: Connection, name: str, station: str, batch: Batch) -> None:
        """Note what a batch brings."""
        fixed = {"name": name, "station": station}
        fixed |= {"serial": batch.header.serial, "log_id": batch.header.log_id}
        rows = [
            {**fixed, "sector": sector, "slots": spans.raw(mask)}
            for sector, mask in sorted(brought.spans(batch.chunks).items())
        ]
        if rows:
            db.execute(insert_new(db, ledger.pieces), rows)

    def drop(self, db: Connection, name: str, sectors: Sequence[int]) -> None:
        """Forget pieces of a batch: its station had said the same."""
        table = ledger.pieces
        for part in parts(sectors):
            db.execute(delete(table).where(table.c.name == name, table.c.sector.in_(part)))

    def sources(
        self, db: Connection, header: BatchHeader, but: str, sectors: Iterable[int]
    ) -> dict[int, dict[str, Brought]]:
        """What the batches but one brought of some sectors of a log, by sector and station; who
        came last is last."""
        rows: list[Any] = []
        of = {"serial": header.serial, "log_id": header.log_id, "but": but}
        for part in parts(sorted(sectors)):
            rows += db.execute(_SOURCES, {**of, "sectors": part})
        wanted: dict[str, set[int]] = defaultdict(set)
        station: dict[str, str] = {}
        for row in _newest(rows):
            wanted[row.name].add(row.sector)
            station[row.name] = row.station
        out: dict[int, dict[str, Brought]] = defaultdict(dict)
        for name, numbers in wanted.items():
            for number, later in brought.split(self._chunks(name), numbers).items():
                told = out[number]
                mine = told.pop(station[name], None)
                if mine is None:
                    mine = later
                else:
                    mine.fold(later)
                told[station[name]] = mine
        return out

    def waiting(self, db: Connection, serial: str, log_id: int) -> tuple[int, list[Span]]:
        """How many batches of a log are not worked in yet, and what they brought."""
        table, kept = ledger.pieces, ledger.batches
        mine = (kept.c.serial == serial) & (kept.c.log_id == log_id) & ~kept.c.ingested
        rows = db.execute(
            select(table.c.sector, table.c.slots)
            .join(kept, kept.c.name == table.c.name)
            .where(mine)
        )
        found: list[Span] = []
        for row in rows:
            found += spans.of_mask(spans.mask(row.slots), row.sector * log.SLOTS)
        count = db.execute(select(func.count()).where(mine)).scalar_one()
        return count, spans.joined(found, 1 << 32)

    def slots(
        self,
        db: Connection,
        serial: str,
        log_id: int,
        span: Span,
        station: str,
        read: Mapping[str, Batch] | None = None,
    ) -> tuple[bytearray, list[Span], list[Span]]:
        """The slots of a span, from the batches that are worked in: as the station itself brought
        them last, else as anybody did. With the parts that it brought, and that there are. read:
        batches that need not be read again, by name."""
        of = {"serial": serial, "log_id": log_id, "station": station}
        of |= {"low": span[0] // log.SLOTS, "high": (span[1] - 1) // log.SLOTS}
        held = bytearray((span[1] - span[0]) * _SIZE)
        own = self._lay(held, span[0], db.execute(_OWN, of), [span], read)
        holes = list(spans.without(span, own))
        if not holes:
            return held, own, own
        laid = self._lay(held, span[0], db.execute(_OTHERS, of), holes, read)
        return held, own, spans.joined([*own, *laid], span[1])

    def _lay(
        self,
        held: bytearray,
        start: int,
        rows: Iterable[Any],
        places: Sequence[Span],
        read: Mapping[str, Batch] | None,
    ) -> list[Span]:
        # Batches into some places of the bytes of a span, what came later over what came before.
        laid: list[Span] = []
        for name in dict.fromkeys(row.name for row in _newest(rows)):
            for cursor, slots in self._chunks(name, read):
                end = cursor + len(slots) // _SIZE
                for first, until in _common((cursor, end), places):
                    part = slots[(first - cursor) * _SIZE : (until - cursor) * _SIZE]
                    held[(first - start) * _SIZE : (until - start) * _SIZE] = part
                    laid.append((first, until))
        return spans.joined(laid, places[-1][1])


def _common(span: Span, others: Iterable[Span]) -> Iterator[Span]:
    for first, end in others:
        if max(first, span[0]) < min(end, span[1]):
            yield max(first, span[0]), min(end, span[1])


def parts(values: Sequence[int]) -> Iterator[Sequence[int]]:
    """The values in lists that one statement can hold."""
    for at in range(0, len(values), _MANY):
        yield values[at : at + _MANY]


def _newest(rows: Iterable[Any]) -> list[Any]:
    # In the order in which they came, of each station's pieces of a sector the newest.
    kept: dict[tuple[int, str], list[Any]] = defaultdict(list)
    for row in rows:
        kept[row.sector, row.station].append(row)
    out: list[Any] = []
    for each in kept.values():
        each.sort(key=lambda row: row.id)
        out += each[-_MOST_BATCHES:]
    return sorted(out, key=lambda row: row.id)
