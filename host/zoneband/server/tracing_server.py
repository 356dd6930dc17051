"""What the tracing server does, without HTTP: enrol, ingest, receipt, case, trace."""

import hashlib
import hmac
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from zoneband import batch as batches
from zoneband import durable, serials
from zoneband.server import ledger
from zoneband.server.identities import Identities
from zoneband.server.ingest import Ingest
from zoneband.server.people import People
from zoneband.server.sealed import Conflict, SealedRecords
from zoneband.server.timeline import Quality
from zoneband.tracing.contacts import contacts
from zoneband.tracing.query import evidence
from zoneband.tracing.rule import Rule
from zoneband.wire import log, receipt

_SWEEP_S = 600.0


class Unknown(Exception):
    """No such band."""


@dataclass(frozen=True)
class Enrolment:
    """A band's keys (32 bytes each); base_day counts from 1970; role: "band" or "venue"."""

    serial: str
    board: str
    role: str
    base_day: int
    base_key: bytes
    dock_key: bytes
    receipt_key: bytes


class TracingServer:
    """One data directory. Calls may come from several threads; writes take turns."""

    def __init__(
        self, directory: Path, rule: Rule | None = None, utc: Callable[[], float] = time.time
    ) -> None:
        self.rule = rule or Rule()
        self._engine = ledger.open_ledger(directory)
        self._raw = directory / "batches"
        self._raw.mkdir(exist_ok=True)
        self._encounters = directory / "encounters"
        self._encounters.mkdir(exist_ok=True)
        self._lock = threading.RLock()
        self._utc = utc
        self._swept = -_SWEEP_S
        self._identities = Identities(directory / "ids")
        self._work = Ingest(self._encounters, self._identities)
        self.sealed = SealedRecords(directory, self._engine, self._enrol_facts, utc)
        self.code = _secret(directory / "registration-code", 8)
        self.tracer_token = _secret(directory / "tracer-token", 32)
        with self._engine.connect() as db:
            for row in db.execute(select(ledger.bands)).mappings():
                self._identities.enrol(row["id"], row["base_day"], row["base_key"])

    # --- stations and bands -----------------------------------------------------------------

    def add_station(self, name: str) -> str:
        """A station's new token; an earlier one of the same name ends."""
        token = secrets.token_urlsafe(32)
        digest = hashlib.sha256(token.encode()).hexdigest()
        row = upsert(ledger.stations).values(name=name, token_sha256=digest)
        with self._lock, self._engine.begin() as db:
            db.execute(
                row.on_conflict_do_update(index_elements=["name"], set_={"token_sha256": digest})
            )
        return token

    def station_of(self, token: str) -> str | None:
        """The station that a token belongs to."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        with self._engine.connect() as db:
            for row in db.execute(select(ledger.stations)).mappings():
                if hmac.compare_digest(row["token_sha256"], digest):
                    return row["name"]
        return None

    def enrol(self, enrolment: Enrolment) -> bool:
        """True when new, False when known already. Raises Conflict when its keys differ.

        Batches that waited for this band are worked in; IDs of it that others heard are found at
        the next trace."""
        values = vars(enrolment)
        with self._lock:
            with self._engine.begin() as db:
                known = self._band(db, enrolment.serial)
                if known is not None:
                    if any(known[k] != v for k, v in values.items()):
                        raise Conflict
                    return False
                same_key = select(ledger.bands.c.serial).where(
                    ledger.bands.c.base_key == enrolment.base_key
                )
                if db.execute(same_key).first() is not None:
                    raise Conflict  # two bands with one key could not be told apart
                db.execute(insert(ledger.bands).values(**values))
                band_id = db.execute(
                    select(ledger.bands.c.id).where(ledger.bands.c.serial == enrolment.serial)
                ).scalar_one()
                waiting = db.execute(
                    select(ledger.batches.c.name).where(
                        ledger.batches.c.serial == enrolment.serial, ~ledger.batches.c.ingested
                    )
                ).scalars()
                names = list(waiting)
            self._identities.enrol(band_id, enrolment.base_day, enrolment.base_key)
            for name in names:
                kept = batches.unpack((self._raw / name).read_bytes())
                with self._engine.begin() as db:
                    self._ingest(db, name, band_id, kept)
        return True

    def _enrol_facts(self, facts: dict[str, Any]) -> None:
        # An opened enrolment.
        role = facts["role"]
        if role not in ("band", "venue") or not re.match(serials.PATTERN, facts["serial"]):
            raise ValueError("no enrolment")
        found = [bytes.fromhex(facts[name]) for name in ("base_key", "dock_key", "receipt_key")]
        if any(len(key) != 32 for key in found):
            raise ValueError("no enrolment")
        self.enrol(Enrolment(facts["serial"], facts["board"], role, int(facts["base_day"]), *found))

    def take_sealed(self, station: str, name: str, data: bytes) -> tuple[bool, str]:
        """Keep a sealed record and open it if its key is in memory: (new, what became of it, as
        zoneband.server.sealed names it). Raises ValueError for bytes that are none."""
        with self._lock:
            return self.sealed.take(station, name, data)

    def unlock(self, keys: Mapping[int, X25519PrivateKey]) -> int:
        """The authority's private keys; how many records that had waited were opened."""
        with self._lock:
            return self.sealed.unlock(keys)

    def people(self, serial: str) -> list[dict[str, Any]]:
        """Everybody whom a band was handed out to; [] while the authority's key is not in memory.
        Raises Unknown."""
        with self._engine.connect() as db:
            if self._band(db, serial) is None:
                raise Unknown
            return self.sealed.people(db, serial)

    def _band(self, db: Connection, serial: str) -> Mapping[str, Any] | None:
        found = db.execute(select(ledger.bands).where(ledger.bands.c.serial == serial))
        row = found.mappings().first()
        return None if row is None else {str(key): value for key, value in row.items()}

    def bands(self) -> list[dict[str, Any]]:
        """Every enrolled band in short."""
        with self._engine.connect() as db:
            rows = db.execute(select(ledger.bands)).mappings()
            return [{"serial": r["serial"], "board": r["board"], "role": r["role"]} for r in rows]

    def band_state(self, serial: str) -> dict[str, Any]:
        """A band's logs, their last batch and what in them was bad. Raises Unknown."""
        with self._engine.connect() as db:
            band = self._band(db, serial)
            if band is None:
                raise Unknown
            logs: dict[int, dict[str, Any]] = {}
            for row in db.execute(
                select(ledger.batches).where(ledger.batches.c.serial == serial)
            ).mappings():
                entry = logs.setdefault(
                    row["log_id"], {"log_id": row["log_id"], "end": 0, "came_s": 0, "bad_slots": 0}
                )
                entry["end"] = max(entry["end"], row["end"])
                entry["came_s"] = max(entry["came_s"], row["came_s"])
            for row in db.execute(
                select(ledger.slots).where(ledger.slots.c.serial == serial)
            ).mappings():
                if row["log_id"] in logs:
                    logs[row["log_id"]]["bad_slots"] += row["bad"]
            points = db.execute(
                select(ledger.clock_spans.c.quality).where(ledger.clock_spans.c.serial == serial)
            ).scalars()
            vouched = [quality == Quality.VOUCHED for quality in points]
        return {
            "serial": serial,
            "board": band["board"],
            "role": band["role"],
            "logs": list(logs.values()),
            "clock": {"spans": len(vouched), "vouched": sum(vouched)},
        }

    # --- batches ----------------------------------------------------------------------------

    def take(self, station: str, name: str, data: bytes) -> tuple[bool, int, dict[str, Any] | None]:
        """Keep a batch and work it in: (new, new records, receipt or None).

        Durable when this returns. Raises ValueError for bytes that are no batch; OSError when
        the disk is full, and then nothing is changed."""
        parsed = batches.unpack(data)
        header = parsed.header
        with self._lock:
            path = self._raw / name
            new = not path.exists()
            if new:
                durable.write(path, lambda f: f.write(data))
            count = 0
            made = None
            with self._engine.begin() as db:
                db.execute(
                    upsert(ledger.batches)
                    .values(
                        name=name,
                        station=station,
                        serial=header.serial,
                        log_id=header.log_id,
                        first=header.first,
                        end=header.end,
                        came_s=int(self._utc()),
                        ingested=False,
                    )
                    .on_conflict_do_nothing()
                )
                done = db.execute(
                    select(ledger.batches.c.ingested).where(ledger.batches.c.name == name)
                ).scalar()
                band = self._band(db, header.serial)
                if band is not None and not done:
                    count = self._ingest(db, name, band["id"], parsed)
                if band is not None:
                    made = self._receipt(db, band, header.log_id, header.receipted)
            self._sweep()
            return new, count, made

    def _ingest(self, db: Connection, name: str, band: int, batch: batches.Batch) -> int:
        count = self._work.batch(db, band, batch, self._today())
        db.execute(
            update(ledger.batches).where(ledger.batches.c.name == name).values(ingested=True)
        )
        return count

    def _today(self) -> int:
        return int(self._utc()) // 86400

    def _sweep(self) -> None:
        now = time.monotonic()
        if now - self._swept < _SWEEP_S:
            return
        self._swept = now
        with self._engine.connect() as db:
            self._work.sweep(db, time.time() - _SWEEP_S)

    # --- receipts ---------------------------------------------------------------------------

    def receipt(self, serial: str, log_id: int, first: int) -> dict[str, Any] | None:
        """Receipt from a band's receipted cursor on, as far as no slot is missing."""
        with self._engine.connect() as db:
            band = self._band(db, serial)
            if band is None:
                raise Unknown
            return self._receipt(db, band, log_id, first)

    def _receipt(
        self, db: Connection, band: Mapping[str, Any], log_id: int, first: int
    ) -> dict[str, Any] | None:
        serial = band["serial"]
        names = db.execute(
            select(ledger.batches.c.name)
            .where(
                ledger.batches.c.serial == serial,
                ledger.batches.c.log_id == log_id,
                ledger.batches.c.end > first,
                ledger.batches.c.ingested,
            )
            .order_by(ledger.batches.c.first)
        ).scalars()
        chunks: list[tuple[int, bytes]] = []
        for name in names:
            chunks += batches.unpack((self._raw / name).read_bytes()).chunks
        held = _gapless(log_id, first, chunks)
        if not held:
            return None
        upto = first + len(held) // log.SLOT_BYTES
        digest = hashlib.sha256(held).digest()
        made = receipt.mac(band["receipt_key"], serial, log_id, first, upto, digest)
        return {"serial": serial, "log_id": log_id, "first": first, "upto": upto, "mac": made.hex()}

    # --- cases and traces -------------------------------------------------------------------

    def add_case(self, serial: str, onset: str) -> None:
        """Declare a band's wearer a case; onset: YYYY-MM-DD. Raises Unknown."""
        with self._lock, self._engine.begin() as db:
            if self._band(db, serial) is None:
                raise Unknown
            row = upsert(ledger.cases).values(serial=serial, onset=onset)
            db.execute(row.on_conflict_do_nothing())

    def trace(self, serial: str, from_s: int, to_s: int) -> dict[str, Any]:
        """Every contact of a band in [from_s, to_s), with its evidence. Raises Unknown."""
        first, last = from_s // 86400 - 1, to_s // 86400
        with self._engine.connect() as db:
            if self._band(db, serial) is None:
                raise Unknown
            stale = self._work.stale(db, first, last)
        if stale:
            with self._lock, self._engine.begin() as db:
                self._work.resolve_again(db, first, last, self._today())
        with self._engine.connect() as db:
            band = self._band(db, serial)
            assert band is not None
            paths = db.execute(
                select(ledger.segments.c.path).where(ledger.segments.c.day.between(first, last))
            ).scalars()
            files = [str(self._encounters / path) for path in paths]
            rows = evidence(files, band["id"], from_s, to_s)
            people = People(db, {row.observer for row in rows} | {row.contact for row in rows})
            found = contacts(self.rule, rows, band["id"], people, from_s, to_s)
            for contact in found:
                number = people.number(contact["serial"], contact["holder"])
                contact["person"] = self.sealed.person(db, contact["serial"], number)
        return {"case": serial, "from_s": from_s, "to_s": to_s, "contacts": found}


def _gapless(log_id: int, first: int, chunks: list[tuple[int, bytes]]) -> bytearray:
    # The slots from `first` on, up to the first that nobody sent. Where two batches disagree on
    # a slot, the one whose tag is right counts.
    held = bytearray()
    size = log.SLOT_BYTES
    for cursor, slots in sorted(chunks, key=lambda chunk: chunk[0]):
        at = (cursor - first) * size
        if at > len(held):
            break
        for i in range(max(0, -at), min(len(slots), len(held) - at), size):
            old, new = bytes(held[at + i : at + i + size]), slots[i : i + size]
            if old != new and _genuine(log_id, cursor + i // size, new):
                held[at + i : at + i + size] = new
        held += slots[len(held) - at :]
    return held


def _genuine(log_id: int, cursor: int, slot: bytes) -> bool:
    sector, place = divmod(cursor, log.SLOTS)
    record = slot[: log.RECORD_BYTES]
    return slot[log.RECORD_BYTES :] == log.tag_open(log_id, sector, place, record)


def _secret(path: Path, size: int) -> str:
    if not path.exists():
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as f:
            f.write(secrets.token_hex(size))
    return path.read_text(encoding="ascii").strip()
