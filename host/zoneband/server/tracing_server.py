"""What the tracing server does, without HTTP: enrol, ingest, receipt, trace."""

import functools
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Connection, Engine, insert, select, update

from zoneband import batch as batches
from zoneband import durable
from zoneband.i18n import _
from zoneband.server import (
    brought,
    chains,
    condition,
    database,
    enrolment,
    gone,
    groups,
    kept_batches,
    ledger,
    orders,
    owner,
    working_days,
)
from zoneband.server.accounts import Accounts
from zoneband.server.ahead import Ahead
from zoneband.server.audit import Audit
from zoneband.server.calls import Calls
from zoneband.server.cases import Cases
from zoneband.server.database import upsert
from zoneband.server.enrolment import Enrolment
from zoneband.server.erasing import Erasing
from zoneband.server.erasures import Erasures
from zoneband.server.gone import Cutter, Log
from zoneband.server.identities import Identities
from zoneband.server.ingest import Ingest
from zoneband.server.ledger import Unknown
from zoneband.server.nonces import Nonces
from zoneband.server.opener import Known, Opener
from zoneband.server.readers import Readers
from zoneband.server.retention import Retention
from zoneband.server.rights import Rights
from zoneband.server.sealed import Conflict, SealedRecords
from zoneband.server.sectors import Sectors, key_ids
from zoneband.server.stations import Stations
from zoneband.server.swaps import Swaps
from zoneband.server.timeline import Quality
from zoneband.server.tracing import Tracing
from zoneband.tracing import rules
from zoneband.tracing.engine import DUCKDB
from zoneband.wire import log, receipt

_SWEEP_S = 600.0
_say = logging.getLogger(__name__)
# What an enrolment may say differently from one before: it may have changed since.
_MAY_DIFFER = ("group_number", "group_generation", "log_format")


class TracingServer:
    """One data directory. Calls may come from several threads; writes take turns."""

    def __init__(
        self,
        directory: Path,
        utc: Callable[[], float] = time.time,
        numbers: Collection[int] = (),
        erasures: Path | None = None,
        engine: str = DUCKDB,
        ahead: Ahead | None = None,
    ) -> None:
        """numbers: of the authority's public keys; what is sealed to one whose private key is not
        in memory waits for it. erasures: a folder for one more copy of the list of erasures, which
        is not in the backups of this directory; what is in it is erased again now. engine: what
        traces ask (zoneband.tracing.engine.checked); ahead: opens batches before their turn."""
        self._numbers = numbers
        self._ahead = ahead
        self._engine = owner.open_own(directory)
        self._behind = False  # whether chains may be in the ledger that nobody has learnt
        database.on_loss(self._engine, self._fall_behind)
        self._raw = directory / "batches"
        durable.folder(self._raw)
        self._encounters = directory / "encounters"
        durable.folder(self._encounters)
        self._lock = threading.RLock()
        self._utc = utc
        self._swept = -_SWEEP_S
        self._identities = Identities(directory / "ids")
        self._work = Ingest(self._encounters, self._identities)
        self._sectors = Sectors(self._raw)
        self._cutter = Cutter(self._engine, self._raw, self._sectors.genuine)
        readers = Readers()
        self._keys: dict[int, X25519PrivateKey] = {}
        self.groups = groups.Groups(self._engine, self._lock, utc)
        self.stations = Stations(self._engine, self._lock, utc, self.groups)
        self.nonces = Nonces(self._engine, self._lock, utc)
        self.orders = orders.Orders(self._engine, self._lock, utc)
        self.sealed = SealedRecords(directory, self._engine, self._enrol_facts, utc)
        self.rules = rules.load(directory / "rules")
        self.tracing = Tracing(
            self._engine,
            self._encounters,
            self._work,
            self.sealed,
            self.rules,
            self._lock,
            utc,
            readers,
            engine,
        )
        self.retention = Retention(
            self._engine,
            directory,
            self._lock,
            utc,
            self._work,
            self._cutter,
            self.sealed,
            readers,
        )
        self.swaps = Swaps(self._engine, self._lock, utc)
        default = self.rules[rules.DEFAULT]
        self.cases = Cases(self._engine, self._lock, utc, self.sealed.person, default)
        self.accounts = Accounts(self._engine, self._lock, utc)
        self.calls = Calls(self._engine, self._lock, utc)
        # What let stations in before they came with codes of their own.
        (directory / "registration-code").unlink(missing_ok=True)
        self.audit = Audit(directory, utc)
        self.tracer_token = _secret(directory / "tracer-token", 32)
        self._learn_chains()
        self.erasing = Erasing(
            self._engine,
            self._encounters,
            self._lock,
            utc,
            self._work,
            self.sealed,
            self._cutter,
            self.retention,
            Erasures([directory, erasures] if erasures else [directory]),
        )
        self._cutter.run()  # what a kill left
        self.erasing.catch_up()
        days = functools.partial(working_days.load, directory)
        self.rights = Rights(self._engine, self._lock, utc, days, self.erasing)

    @property
    def engine(self) -> Engine:
        """Its ledger."""
        return self._engine

    def _learn_chains(self) -> None:
        with self._engine.connect() as db:
            found = chains.every(db)
        self._behind = False
        self._identities.add(found)

    def _fall_behind(self) -> None:
        self._behind = True

    # --- bands ----------------------------------------------------------------------------------

    def enrol(self, enrolment: Enrolment) -> bool:
        """True when new, False when known already. Raises Conflict when its keys differ.

        Batches that waited for this band are worked in; IDs of it that others heard are found at
        the next trace."""
        values = vars(enrolment)
        with self._lock:
            with self._engine.begin() as db:
                known = self._band(db, enrolment.serial)
                if known is None:
                    self._enrol_new(db, enrolment)
                elif any(known[k] != v for k, v in values.items() if k not in _MAY_DIFFER):
                    raise Conflict
            if known is None or self._behind:
                self._learn_chains()
            # Those of a known one too: the ledger may have been lost before it came to them.
            self._work_waiting(enrolment.serial)
        return known is None

    def _enrol_new(self, db: Connection, enrolment: Enrolment) -> None:
        if chains.known(db, enrolment.base_key):
            raise Conflict  # two bands with one key could not be told apart
        db.execute(insert(ledger.bands).values(**vars(enrolment)))
        if enrolment.group_generation < groups.newest(db, enrolment.group_number)[0]:
            # Made at a station that had not heard of the newest key.
            groups.order_newest(db, enrolment.serial, enrolment.group_number, int(self._utc()))
        band_id = db.execute(
            select(ledger.bands.c.id).where(ledger.bands.c.serial == enrolment.serial)
        ).scalar_one()
        chains.add(db, band_id, enrolment.base_day, enrolment.base_key)

    def _enrol_facts(self, facts: dict[str, Any]) -> None:
        # An opened enrolment.
        self.enrol(enrolment.read(facts, self._today()))

    def take_sealed(self, station: str, name: str, data: bytes) -> tuple[bool, str]:
        """Keep a sealed record and open it if its key is in memory: (new, what became of it, as
        zoneband.server.sealed names it). Raises ValueError for bytes that are none."""
        with self._lock:
            return self.sealed.take(station, name, data)

    def unlock(self, keys: Mapping[int, X25519PrivateKey]) -> int:
        """The authority's private keys; how many records that had waited were opened. Logs that
        had waited are worked in."""
        with self._lock:
            self._keys = dict(keys)
            opened = self.sealed.unlock(keys)
            self._work_waiting()
            return opened

    def people(self, serial: str) -> list[dict[str, Any]]:
        """Everybody whom a band was handed out to; [] while the authority's key is not in memory.
        Raises Unknown."""
        with self._engine.connect() as db:
            if self._band(db, serial) is None:
                raise Unknown
            return self.sealed.people(db, [serial]).get(serial, [])

    def _band(self, db: Connection, serial: str) -> Mapping[str, Any] | None:
        found = db.execute(select(ledger.bands).where(ledger.bands.c.serial == serial))
        row = found.mappings().first()
        return None if row is None else {str(key): value for key, value in row.items()}

    def bands(self) -> list[dict[str, Any]]:
        """Every enrolled band in short."""
        with self._engine.connect() as db:
            rows = db.execute(select(ledger.bands)).mappings()
            return [{"serial": r["serial"], "board": r["board"], "role": r["role"]} for r in rows]

    def base_keys(self, serial: str) -> list[tuple[int, bytes]]:
        """(base day, base key) of each chain of IDs that a band has had, oldest first. Raises
        Unknown."""
        with self._engine.connect() as db:
            band = self._band(db, serial)
            if band is None:
                raise Unknown
            return [(c.base_day, c.base_key) for c in chains.every(db) if c.band == band["id"]]

    def band_state(self, serial: str) -> dict[str, Any]:
        """A band's logs, their last batch and what in them was wrong. Raises Unknown."""
        with self._engine.connect() as db:
            band = self._band(db, serial)
            if band is None:
                raise Unknown
            logs = self._sectors.state(db, serial)
            refused = self.sealed.refused(db, serial)
            points = db.execute(
                select(ledger.clock_spans.c.quality).where(ledger.clock_spans.c.serial == serial)
            ).scalars()
            vouched = [quality == Quality.VOUCHED for quality in points]
        return {
            "serial": serial,
            "board": band["board"],
            "role": band["role"],
            "logs": logs,
            "enrolments_refused": refused,
            "clock": {"spans": len(vouched), "vouched": sum(vouched)},
        }

    def condition(self, directory: Path) -> condition.Condition:
        """How this server, whose directory this is, is now."""
        return condition.look(self._engine, self.stations, directory, self._utc())

    def touch(self) -> None:
        """Return if the ledger answers; raise SQLAlchemyError if it does not."""
        with self._engine.connect() as db:
            db.execute(select(1))

    # --- batches ----------------------------------------------------------------------------

    def take(self, station: str, name: str, data: bytes) -> tuple[bool, int, dict[str, Any] | None]:
        """Keep a batch and work it in: (new, new records, receipt or None).

        Durable when this returns. Raises ValueError for bytes that are no batch; OSError when
        the disk is full, and then nothing is changed."""
        parsed = batches.unpack(data)
        header = parsed.header
        known = self._open_ahead(name, parsed)
        with self._lock:
            if self._behind:
                self._learn_chains()
            path = self._raw / name
            dropped, parsed, data = self._left_of(name, data, parsed)
            count = 0
            made = None
            starts = [cursor for cursor, _ in parsed.chunks]
            ends = [cursor + len(slots) // log.SLOT_BYTES for cursor, slots in parsed.chunks]
            with self._engine.begin() as db:
                add = (
                    upsert(db, ledger.batches)
                    .values(
                        name=name,
                        station=station,
                        serial=header.serial,
                        log_id=header.log_id,
                        first=min([header.first, *starts]),
                        end=max([header.end, *ends]),
                        came_s=int(self._utc()),
                        ingested=False,
                    )
                    .on_conflict_do_nothing()
                )
                new = db.execute(add.returning(ledger.batches.c.name)).first() is not None
                if not dropped and (new or not path.exists()):
                    # On the disk before the ledger names it. A file that is there and that no row
                    # names is written again: its name may not be on the disk yet.
                    durable.write(path, lambda f: f.write(data))
                ingested = db.execute(
                    select(ledger.batches.c.ingested).where(ledger.batches.c.name == name)
                ).scalar()
                if not ingested:
                    self._sectors.pieces.note(db, name, station, parsed)
                band = self._band(db, header.serial)
                rekeyed = False
                if band is not None and not ingested and not any(map(self._waits, key_ids(parsed))):
                    count, rekeyed, ingested = self._ingest(db, name, station, band, parsed, known)
                if band is not None and ingested:
                    made = self._receipt(db, band, header.log_id, header.receipted, station)
                nonces = self.nonces.write(db)
            self.nonces.written(nonces)
            if rekeyed:
                self._learn_chains()
            self._cutter.run()
            self._sweep()
            return new, count, made

    def _open_ahead(self, name: str, parsed: batches.Batch) -> Known:
        # Before its turn, but for what was worked in before.
        if self._ahead is None:
            return {}
        table = ledger.batches
        with self._engine.connect() as db:
            band = self._band(db, parsed.header.serial)
            done = db.execute(select(table.c.ingested).where(table.c.name == name)).scalar()
        if band is None or done:
            return {}
        return self._ahead.opened(parsed.chunks, self._keys, band["serial"], band["receipt_key"])

    def _left_of(
        self, name: str, data: bytes, parsed: batches.Batch
    ) -> tuple[bool, batches.Batch, bytes]:
        # Whether a batch was dropped before, and what of it was not erased before.
        table = ledger.batches
        header = parsed.header
        with self._engine.connect() as db:
            found = select(table.c.dropped_s).where(table.c.name == name)
            dropped = db.execute(found).scalar() is not None
            sectors = brought.spans(parsed.chunks)
            missing = gone.masks(db, header.serial, header.log_id, sectors)
        if any(mask & missing.get(number, 0) for number, mask in sectors.items()):
            parsed = gone.cut(parsed, missing)
            data = kept_batches.cut(parsed)
        return dropped, parsed, data

    def refused(self, name: str) -> tuple[int, bool]:
        """How many encounters of a batch were not kept, since their days are dropped or they were
        erased; and whether the whole batch was dropped since it came."""
        table = ledger.batches
        with self._engine.connect() as db:
            row = db.execute(
                select(table.c.refused, table.c.dropped_s).where(table.c.name == name)
            ).first()
        return (row.refused, row.dropped_s is not None) if row else (0, False)

    def resend(self, name: str, station: str) -> int | None:
        """The cursor from which a station that sent a batch must pull its band again, since what
        came was altered or missing there; None when nothing is to be mended."""
        with self._lock, self._engine.begin() as db:
            table = ledger.batches
            found = select(table.c.ingested).where(table.c.name == name)
            if not db.execute(found.where(table.c.dropped_s.is_(None))).scalar():
                return None
            return self._sectors.resend(db, name, station)

    def _waits(self, key_id: int) -> bool:
        # Whether a key of the authority is not in memory, and may still come.
        return key_id not in self._keys and (not self._keys or key_id in self._numbers)

    def _ingest(
        self,
        db: Connection,
        name: str,
        station: str,
        band: Mapping[str, Any],
        batch: batches.Batch,
        known: Known | None = None,
    ) -> tuple[int, bool, bool]:
        # (new records, whether the band has a new chain of IDs, whether all of it is worked in)
        opener = Opener(self._keys, band["serial"], band["receipt_key"], known)
        fresh, whole = self._sectors.take(
            db, name, station, batch, opener, self._waits, band["log_format"]
        )
        rekeyed = self._work.batch(db, band["id"], batch.header, fresh, self._today(), name)
        orders.executed(db, band["serial"], int(self._utc()))
        db.execute(
            update(ledger.batches).where(ledger.batches.c.name == name).values(ingested=whole)
        )
        return len(fresh), rekeyed, whole

    def _work_waiting(self, serial: str | None = None) -> None:
        # Batches that waited for their band's enrolment, or for the authority's key.
        table = ledger.batches
        waiting = select(table).where(~table.c.ingested)
        if serial is not None:
            waiting = waiting.where(table.c.serial == serial)
        with self._engine.connect() as db:
            rows = list(db.execute(waiting.order_by(table.c.came_s)))
        for row in rows:
            # One that cannot be worked in holds none of the others up.
            try:
                self._work_in(row.name, row.station, row.serial)
            except Exception as error:
                if database.is_gone(error):
                    raise
                _say.exception(_("Batch %s could not be worked in; it is kept."), row.name)

    def _work_in(self, name: str, station: str, serial: str) -> None:
        kept = self._sectors.pieces.read(name)
        with self._engine.begin() as db:
            band = self._band(db, serial)
            if band is None or any(map(self._waits, key_ids(kept))):
                return
            _count, rekeyed, _whole = self._ingest(db, name, station, band, kept)
        if rekeyed:
            self._learn_chains()
        self._cutter.run()

    def _today(self) -> int:
        return int(self._utc()) // 86400

    def _sweep(self) -> None:
        now = time.monotonic()
        if now - self._swept < _SWEEP_S:
            return
        self._swept = now
        with self._engine.connect() as db:
            self._work.sweep(db)

    # --- receipts ---------------------------------------------------------------------------

    def receipt(
        self, serial: str, log_id: int, first: int, station: str = ""
    ) -> dict[str, Any] | None:
        """Receipt from a band's receipted cursor on, as far as every slot is genuine; station: who
        asks. Raises Unknown."""
        with self._engine.connect() as db:
            band = self._band(db, serial)
            if band is None:
                raise Unknown
            return self._receipt(db, band, log_id, first, station)

    def _receipt(
        self, db: Connection, band: Mapping[str, Any], log_id: int, first: int, station: str
    ) -> dict[str, Any] | None:
        serial = band["serial"]
        first, upto, digest = self._sectors.gapless(db, serial, log_id, first, station)
        made = receipt.mac(band["receipt_key"], serial, log_id, first, upto, digest)
        kept = gone.kept_receipt(db, Log(serial, log_id), first)
        if kept is not None and kept[0] > upto:
            upto, made = kept
        if upto == first:
            return None
        return {"serial": serial, "log_id": log_id, "first": first, "upto": upto, "mac": made.hex()}

    # --- traces -----------------------------------------------------------------------------

    def trace(self, serial: str, from_s: int, to_s: int) -> dict[str, Any]:
        """Every contact of a band in [from_s, to_s), as zoneband.server.tracing answers. Raises
        Unknown."""
        return self.tracing.trace(serial, from_s, to_s)


def _secret(path: Path, size: int) -> str:
    # One that is not whole, since the power went as it was drawn, keeps nobody out.
    kept = path.read_text(encoding="ascii", errors="replace").strip() if path.exists() else ""
    if not re.fullmatch(rf"[!-~]{{{2 * size},}}", kept):
        kept = secrets.token_hex(size)
        durable.write(path, lambda f: f.write(kept.encode()), 0o600)
    return kept
