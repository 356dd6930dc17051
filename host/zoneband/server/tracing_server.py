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
from sqlalchemy import Connection, Engine, insert, select

from zoneband import durable
from zoneband.i18n import _
from zoneband.server import (
    chains,
    condition,
    database,
    enrolment,
    groups,
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
from zoneband.server.enrolment import Enrolment
from zoneband.server.erasing import Erasing
from zoneband.server.erasures import Erasures
from zoneband.server.gone import Cutter
from zoneband.server.identities import Identities
from zoneband.server.ingest import Ingest
from zoneband.server.ledger import Unknown
from zoneband.server.nonces import Nonces
from zoneband.server.readers import Readers
from zoneband.server.retention import Retention
from zoneband.server.rights import Rights
from zoneband.server.sealed import Conflict, SealedRecords
from zoneband.server.sectors import Sectors
from zoneband.server.stations import Stations
from zoneband.server.swaps import Swaps
from zoneband.server.timeline import Quality
from zoneband.server.tracing import Tracing
from zoneband.server.uploads import Answer, Uploads
from zoneband.tracing import rules
from zoneband.tracing.engine import DUCKDB

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
        self.groups = groups.Groups(self._engine, self._lock, utc)
        self.stations = Stations(self._engine, self._lock, utc, self.groups)
        self.nonces = Nonces(self._engine, self._lock, utc)
        self.orders = orders.Orders(self._engine, self._lock, utc)
        self._uploads = Uploads(
            self._engine,
            self._raw,
            self._lock,
            utc,
            self._work,
            self._sectors,
            self.nonces,
            self,
            numbers,
            ahead,
        )
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
        try:
            self._cutter.run()  # what a kill left
        except (OSError, ValueError):
            _say.exception(_("Not all could be done that was due; it is tried again later."))
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
        try:
            self._identities.add(found)
        except BaseException:
            self._behind = True
            raise

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
            self._uploads.work_waiting(enrolment.serial)
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
            self._uploads.keys = dict(keys)
            opened = self.sealed.unlock(keys)
            self._uploads.work_waiting()
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

    def take(self, station: str, name: str, data: bytes) -> Answer:
        """Keep a batch and work it in: as Uploads.take."""
        return self._uploads.take(station, name, data)

    def before_uploads(self) -> None:
        """Know of all chains of IDs that may be met."""
        if self._behind:
            self._learn_chains()

    def after_uploads(self, rekeyed: bool) -> None:
        """Learn new chains, and cut and sweep what is gone: what fails is done the next time."""
        self._behind |= rekeyed
        for due in (self.before_uploads, self._cutter.run, self._sweep):
            try:
                due()
            except Exception:
                # To whoever's uploads these were it is all the same: they are kept.
                _say.exception(_("Not all could be done that was due; it is tried again later."))

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
            return self._uploads.receipt(db, band, log_id, first, station)

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
