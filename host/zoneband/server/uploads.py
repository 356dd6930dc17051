"""Batches as stations upload them: kept, worked in, and answered.

Whoever comes while others are worked in waits for the server's lock, and all that wait then are
worked in together: one commit, one segment a day, and one look for what concerns few bands. When
that fails each is tried by itself, so that one batch's failure is no other's.
"""

import logging
import threading
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Connection, Engine, bindparam, insert, literal, select, union_all, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from zoneband import batch as batches
from zoneband import disk, durable
from zoneband.i18n import _
from zoneband.server import (
    brought,
    database,
    erase_marks,
    gone,
    kept_batches,
    ledger,
    orders,
    rights,
    spans,
)
from zoneband.server.ahead import Ahead
from zoneband.server.gone import Log
from zoneband.server.ingest import Arrived, Ingest
from zoneband.server.nonces import Nonces
from zoneband.server.opener import Known, Opener
from zoneband.server.sectors import Rows, Sectors, key_ids
from zoneband.wire import log, receipt

_MOST_TOGETHER = 16
_MOST_SLOTS = 16_384  # of batches that are worked in together, but for a first one that has more
_ROW_BYTES = 1200  # what a sector of a batch takes in the ledger
_say = logging.getLogger(__name__)

_bands, _batches = ledger.bands, ledger.batches
_serials = bindparam("serials", expanding=True)
_BANDS = select(_bands).where(_bands.c.serial.in_(_serials))
_BATCHES = select(_batches).where(_batches.c.name.in_(bindparam("names", expanding=True)))
_INGESTED = select(_batches.c.ingested).where(_batches.c.name == bindparam("name"))
_NEW_BATCH = insert(_batches)
# Which of some bands have what few have: batches that wait, orders, erasures, withdrawn consent.
_WAITING, _ORDERS, _ERASED, _WITHDRAWN = range(4)
_RARE = union_all(
    select(literal(_WAITING).label("what"), _batches.c.serial).where(
        _batches.c.serial.in_(_serials), ~_batches.c.ingested
    ),
    select(literal(_ORDERS), ledger.orders.c.serial).where(ledger.orders.c.serial.in_(_serials)),
    select(literal(_ERASED), ledger.erased_spans.c.serial).where(
        ledger.erased_spans.c.serial.in_(_serials)
    ),
    select(literal(_WITHDRAWN), ledger.rights.c.serial).where(
        ledger.rights.c.serial.in_(_serials), ledger.rights.c.kind.in_(rights.STOPPING)
    ),
)


@dataclass(frozen=True)
class Answer:
    """What became of a batch.

    kept: what it takes on the disk, in bytes and about, 0 for one that was known; slots: how many
    it brought; count: its records that were new; receipt: None while nothing is receipted; refused:
    its encounters that are not kept, since their days are dropped or they were erased; dropped: so
    was the whole batch; ask_back: its wearer has withdrawn; resend: the cursor from which the
    station must pull its band again, since what came was altered or missing there, None when
    nothing is to be mended; orders: those that the band has not carried out."""

    new: bool
    kept: int
    slots: int
    count: int
    receipt: dict[str, Any] | None
    refused: int
    dropped: bool
    ask_back: bool
    resend: int | None
    orders: list[bytes]


class Host(Protocol):
    """What the server does around batches, under its lock."""

    def before_uploads(self) -> None:
        """Before some are worked in."""
        ...

    def after_uploads(self, rekeyed: bool) -> None:
        """After they are committed; raises nothing. rekeyed: a band of them has a new chain of
        IDs."""
        ...


@dataclass
class _Upload:
    """A batch on its way."""

    name: str
    station: str
    data: bytes
    batch: batches.Batch
    known: Known
    answer: Answer | None = None
    error: Exception | None = None

    @property
    def over(self) -> bool:
        """Whether it has its answer."""
        return self.answer is not None or self.error is not None

    @property
    def slots(self) -> int:
        """How many slots it brings."""
        return sum(len(slots) for _cursor, slots in self.batch.chunks) // log.SLOT_BYTES


@dataclass
class _Try:
    """A batch as it is worked in; left: what of it was not erased before."""

    upload: _Upload
    left: batches.Batch
    band: Mapping[str, Any] | None
    size: int  # as Answer.kept
    ingested: bool
    dropped: bool
    refused: int  # before
    rows: Rows  # of its sectors and those beside them, as they were
    count: int = 0


@dataclass
class _Facts:
    """What the ledger holds of the batches of one turn, and of their bands."""

    bands: dict[str, dict[str, Any]]
    batches: dict[str, Any]
    rare: list[set[str]] = field(default_factory=lambda: [set[str]() for _n in range(4)])


class Uploads:
    """The batches of one server. Calls may come from several threads."""

    def __init__(
        self,
        engine: Engine,
        raw: Path,
        lock: AbstractContextManager[Any],
        utc: Callable[[], float],
        work: Ingest,
        sectors: Sectors,
        nonces: Nonces,
        host: Host,
        numbers: Collection[int],
        ahead: Ahead | None,
    ) -> None:
        """raw: the directory of batches; numbers: of the authority's keys that may still come into
        memory; ahead: opens batches before their turn."""
        self._engine = engine
        self._raw = raw
        self._lock = lock
        self._utc = utc
        self._work = work
        self._sectors = sectors
        self._nonces = nonces
        self._host = host
        self._numbers = numbers
        self._ahead = ahead
        self._queue: list[_Upload] = []
        self._mine = threading.Lock()
        self.keys: dict[int, X25519PrivateKey] = {}  # the authority's, by number

    def take(self, station: str, name: str, data: bytes) -> Answer:
        """Keep a batch and work it in. Durable when this returns. Raises NoBatch; OSError when the
        disk is full, and then nothing is changed."""
        parsed = batches.unpack(data)
        upload = _Upload(name, station, data, parsed, self._open_ahead(name, parsed))
        with self._mine:
            self._queue.append(upload)
        with self._lock:
            while not upload.over:
                self._turn()
        if upload.error is not None:
            raise upload.error
        assert upload.answer is not None
        return upload.answer

    def _open_ahead(self, name: str, parsed: batches.Batch) -> Known:
        # Before its turn, but for what was worked in before.
        if self._ahead is None:
            return {}
        serial = parsed.header.serial
        with self._engine.connect() as db:
            band = db.execute(_BANDS, {"serials": [serial]}).first()
            done = db.execute(_INGESTED, {"name": name}).scalar()
        if band is None or done:
            return {}
        return self._ahead.opened(parsed.chunks, self.keys, band.serial, band.receipt_key)

    def _waits(self, key_id: int) -> bool:
        # Whether a key of the authority is not in memory, and may still come.
        return key_id not in self.keys and (not self.keys or key_id in self._numbers)

    # --- turns ------------------------------------------------------------------------------

    def _turn(self) -> None:
        uploads = self._next()
        try:
            self._together(uploads)
        except Exception as error:
            if len(uploads) == 1 or isinstance(error, (OperationalError, NoConnection)):
                # When the ledger does not answer it is all the same whose batch it was.
                for upload in uploads:
                    upload.error = error
            else:
                self._apart(uploads)
        finally:
            for upload in uploads:
                if not upload.over:
                    upload.error = RuntimeError("the server is ending")

    def _next(self) -> list[_Upload]:
        # In the order in which they came, at most one of each band: the next of a band is judged by
        # what the one before has left in the ledger.
        chosen: list[_Upload] = []
        later: list[_Upload] = []
        serials: set[str] = set()
        slots = 0
        with self._mine:
            for upload in self._queue:
                serial = upload.batch.header.serial
                room = len(chosen) < _MOST_TOGETHER and slots + upload.slots <= _MOST_SLOTS
                if chosen and (not room or serial in serials):
                    later.append(upload)
                else:
                    chosen.append(upload)
                    slots += upload.slots
                serials.add(serial)
            self._queue = later
        return chosen

    def _apart(self, uploads: Sequence[_Upload]) -> None:
        for upload in uploads:
            try:
                self._together([upload])
            except Exception as error:
                upload.error = error

    def _together(self, uploads: Sequence[_Upload]) -> None:
        self._host.before_uploads()
        arrived = Arrived()
        with self._engine.begin() as db, self._new_files() as files:
            facts = _facts(db, uploads)
            tries = [self._keep(db, upload, facts, files) for upload in uploads]
            rekeyed = [self._ingest(db, one, facts, arrived) for one in tries]
            self._settle(db, arrived, [one.upload.name for one in tries if one.ingested])
            answers = [self._answer(db, one, facts, arrived) for one in tries]
            nonces = self._nonces.write(db)
        self._nonces.written(nonces)
        for upload, answer in zip(uploads, answers, strict=True):
            upload.answer = answer
        self._host.after_uploads(any(rekeyed))

    @contextmanager
    def _new_files(self) -> Generator[list[Path]]:
        # Files that a transaction adds go with it when it is broken off. When it fails as it is
        # committed they stay: it may be done all the same.
        files: list[Path] = []
        try:
            yield files
        except BaseException:
            for path in files:
                with suppress(OSError):
                    path.unlink()
            raise

    # --- parts of a turn --------------------------------------------------------------------

    def _keep(self, db: Connection, upload: _Upload, facts: _Facts, files: list[Path]) -> _Try:
        # On the disk, and named in the ledger.
        header = upload.batch.header
        row = facts.batches.get(upload.name)
        dropped = row is not None and row.dropped_s is not None
        sectors = brought.spans(upload.batch.chunks)
        rows = self._sectors.around(db, header, sectors)
        left, data = _left_of(upload, sectors, rows)
        if row is None:
            starts = [cursor for cursor, _slots in left.chunks]
            ends = [cursor + len(slots) // log.SLOT_BYTES for cursor, slots in left.chunks]
            values = {
                "name": upload.name,
                "station": upload.station,
                "serial": header.serial,
                "log_id": header.log_id,
                "first": min([header.first, *starts]),
                "end": max([header.end, *ends]),
                "came_s": int(self._utc()),
                "ingested": False,
            }
            db.execute(_NEW_BATCH, values)
        path = self._raw / upload.name
        there = path.exists()
        if not dropped and (row is None or not there):
            if not there:
                files.append(path)
            # On the disk before the ledger names it. A file that is there and that no row
            # names is written again: its name may not be on the disk yet.
            durable.write(path, lambda f: f.write(data))
        ingested = row is not None and bool(row.ingested)
        if not ingested:
            self._sectors.pieces.note(db, upload.name, upload.station, left)
        band = facts.bands.get(header.serial)
        before = 0 if row is None else row.refused
        size = kept_bytes(len(upload.data), len(sectors)) if row is None else 0
        return _Try(upload, left, band, size, ingested, dropped, before, rows)

    def _ingest(self, db: Connection, one: _Try, facts: _Facts, arrived: Arrived) -> bool:
        # Whether the band has a new chain of IDs.
        if one.band is None or one.ingested or any(map(self._waits, key_ids(one.left))):
            return False
        upload = one.upload
        one.count, rekeyed, one.ingested = self._work_in(
            db,
            upload.name,
            upload.station,
            one.band,
            one.left,
            arrived,
            facts,
            upload.known,
            one.rows,
        )
        return rekeyed

    def _work_in(
        self,
        db: Connection,
        name: str,
        station: str,
        band: Mapping[str, Any],
        batch: batches.Batch,
        arrived: Arrived,
        facts: _Facts,
        known: Known | None = None,
        rows: Rows | None = None,
    ) -> tuple[int, bool, bool]:
        # (new records, whether the band has a new chain of IDs, whether all of it is worked in)
        serial, now_s = band["serial"], int(self._utc())
        opener = Opener(self.keys, serial, band["receipt_key"], known)
        fresh, whole = self._sectors.take(
            db, name, station, batch, opener, self._waits, band["log_format"], rows
        )
        rekeyed = self._work.batch(
            db, band["id"], batch.header, fresh, now_s // 86400, name, arrived
        )
        if serial in facts.rare[_ERASED]:
            erase_marks.again(db, serial)
        if serial in facts.rare[_ORDERS]:
            orders.executed(db, serial, now_s)
        return len(fresh), rekeyed, whole

    def _settle(self, db: Connection, arrived: Arrived, whole: Sequence[str]) -> None:
        # The encounters of batches that were worked in; whole: names of those that are done.
        self._work.keep(db, arrived, int(self._utc()) // 86400)
        if whole:
            db.execute(update(_batches).where(_batches.c.name.in_(whole)).values(ingested=True))

    def _answer(self, db: Connection, one: _Try, facts: _Facts, arrived: Arrived) -> Answer:
        upload, header = one.upload, one.upload.batch.header
        serial = header.serial
        made = resend = None
        if one.band is not None and one.ingested:
            read = {upload.name: one.left}
            made = self.receipt(db, one.band, header.log_id, header.receipted, upload.station, read)
            if not one.dropped:
                waiting = serial in facts.rare[_WAITING]
                resend = self._sectors.resend(db, upload.name, upload.station, one.left, waiting)
        pending: list[bytes] = []
        if one.band is not None and serial in facts.rare[_ORDERS]:
            pending = orders.pending(db, serial, 0, self._utc())
        return Answer(
            new=one.size > 0,
            kept=one.size,
            slots=upload.slots,
            count=one.count,
            receipt=made,
            refused=one.refused + arrived.refused.get(upload.name, 0),
            dropped=one.dropped,
            ask_back=serial in facts.rare[_WITHDRAWN] and rights.ask_back(db, serial),
            resend=resend,
            orders=pending,
        )

    def receipt(
        self,
        db: Connection,
        band: Mapping[str, Any],
        log_id: int,
        first: int,
        station: str,
        read: Mapping[str, batches.Batch] | None = None,
    ) -> dict[str, Any] | None:
        """Receipt from a band's receipted cursor on, as far as every slot is genuine. station: who
        asks; read: batches that need not be read again, by name."""
        serial = band["serial"]
        first, upto, digest = self._sectors.gapless(db, serial, log_id, first, station, read)
        made = receipt.mac(band["receipt_key"], serial, log_id, first, upto, digest)
        kept = gone.kept_receipt(db, Log(serial, log_id), first)
        if kept is not None and kept[0] > upto:
            upto, made = kept
        if upto == first:
            return None
        return {"serial": serial, "log_id": log_id, "first": first, "upto": upto, "mac": made.hex()}

    # --- what waited ------------------------------------------------------------------------

    def work_waiting(self, serial: str | None = None) -> None:
        """Work in the batches that waited for their band's enrolment, or for the authority's key.
        serial: of one band alone. Needs the server's lock."""
        waiting = select(_batches).where(~_batches.c.ingested)
        if serial is not None:
            waiting = waiting.where(_batches.c.serial == serial)
        with self._engine.connect() as db:
            rows = list(db.execute(waiting.order_by(_batches.c.came_s)))
        for row in rows:
            # One that cannot be worked in holds none of the others up.
            try:
                self._try_again(row.name, row.station, row.serial)
            except Exception as error:
                if database.is_gone(error):
                    raise
                _say.exception(_("Batch %s could not be worked in; it is kept."), row.name)

    def _try_again(self, name: str, station: str, serial: str) -> None:
        kept = self._sectors.pieces.read(name)
        arrived = Arrived()
        with self._engine.begin() as db:
            facts = _facts_of(db, [serial], [])
            band = facts.bands.get(serial)
            if band is None or any(map(self._waits, key_ids(kept))):
                return
            _count, rekeyed, whole = self._work_in(db, name, station, band, kept, arrived, facts)
            self._settle(db, arrived, [name] if whole else [])
        self._host.after_uploads(rekeyed)


def kept_bytes(size: int, sectors: int) -> int:
    """What a batch takes on the disk, about: as a file, and in the ledger for its sectors."""
    return max(size, disk.BLOCK_BYTES) + _ROW_BYTES * sectors


def _left_of(
    upload: _Upload, sectors: Mapping[int, int], rows: Rows
) -> tuple[batches.Batch, bytes]:
    # What of a batch was not erased before, and its file. sectors: what it brings.
    missing = {number: spans.mask(row["gone"]) for number, row in rows.items()}
    if any(mask & missing.get(number, 0) for number, mask in sectors.items()):
        left = gone.cut(upload.batch, missing)
        return left, kept_batches.cut(left)
    return upload.batch, upload.data


def _facts(db: Connection, uploads: Sequence[_Upload]) -> _Facts:
    serials = sorted({upload.batch.header.serial for upload in uploads})
    return _facts_of(db, serials, [upload.name for upload in uploads])


def _facts_of(db: Connection, serials: list[str], names: list[str]) -> _Facts:
    bands = db.execute(_BANDS, {"serials": serials}).mappings()
    facts = _Facts(
        bands={row["serial"]: {str(k): v for k, v in row.items()} for row in bands},
        batches={row.name: row for row in db.execute(_BATCHES, {"names": names})},
    )
    for what, serial in db.execute(_RARE, {"serials": serials}):
        facts.rare[what].add(serial)
    return facts
