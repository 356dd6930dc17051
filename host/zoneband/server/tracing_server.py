"""What the tracing server does, without HTTP: enrol, ingest, receipt, case, trace."""

import hashlib
import hmac
import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from zoneband import batch as batches
from zoneband.server import ledger, parse, store
from zoneband.server.identities import Identities
from zoneband.server.timeline import Point, Timeline
from zoneband.tracing.query import Evidence, evidence
from zoneband.tracing.rule import Rule, judge
from zoneband.wire import log, receipt, records


class Conflict(Exception):
    """The same name with other contents."""


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

    def __init__(self, directory: Path, rule: Rule | None = None) -> None:
        self.rule = rule or Rule()
        self._engine = ledger.open_ledger(directory)
        self._raw = directory / "batches"
        self._raw.mkdir(exist_ok=True)
        self._encounters = directory / "encounters"
        self._encounters.mkdir(exist_ok=True)
        self._lock = threading.RLock()
        self._identities = Identities()
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

        Batches and IDs that waited for this band are worked in."""
        values = vars(enrolment)
        with self._lock:
            with self._engine.begin() as db:
                known = self._band(db, enrolment.serial)
                if known is not None:
                    if any(known[k] != v for k, v in values.items()):
                        raise Conflict
                    return False
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
                self._ingest(name, batches.unpack((self._raw / name).read_bytes()))
            self._resolve_again()
        return True

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
                select(ledger.clock_points.c.vouched).where(ledger.clock_points.c.serial == serial)
            ).scalars()
            vouched = list(points)
        return {
            "serial": serial,
            "board": band["board"],
            "role": band["role"],
            "logs": list(logs.values()),
            "clock": {"points": len(vouched), "vouched": sum(vouched)},
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
                temporary = path.with_suffix(".new")
                with temporary.open("wb") as f:
                    f.write(data)
                    f.flush()
                    os.fsync(f.fileno())
                temporary.replace(path)
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
                        came_s=int(time.time()),
                        ingested=False,
                    )
                    .on_conflict_do_nothing()
                )
                done = db.execute(
                    select(ledger.batches.c.ingested).where(ledger.batches.c.name == name)
                ).scalar()
                known = self._band(db, header.serial) is not None
            count = 0
            if known and not done:
                count = self._ingest(name, parsed)
            made = None
            if known:
                made = self.receipt(header.serial, header.log_id, header.receipted)
            return new, count, made

    def _ingest(self, name: str, batch: batches.Batch) -> int:
        header = batch.header
        found = parse.parse(batch)
        with self._engine.begin() as db:
            band = self._band(db, header.serial)
            assert band is not None
            fresh = self._fresh(db, header.serial, header.log_id, found)
            self._points(db, batch, fresh)
            lines = self._timelines(db, header.serial, {p.boot_id for p in fresh})
            self._marks(db, header.serial, header.log_id, fresh, lines)
            days: dict[int, list[store.Row]] = defaultdict(list)
            for placed in fresh:
                if placed.record[0] == records.ENCOUNTER and placed.boot_id in lines:
                    row = self._row(band["id"], header.log_id, placed, lines[placed.boot_id])
                    days[row.start_s // 86400].append(row)
            for day, rows in days.items():
                path = store.write(self._encounters, day, name, rows)
                unresolved = sum(row.contact < 0 for row in rows)
                db.execute(
                    upsert(ledger.segments)
                    .values(path=path, day=day, rows=len(rows), unresolved=unresolved)
                    .on_conflict_do_nothing()
                )
            db.execute(
                update(ledger.batches).where(ledger.batches.c.name == name).values(ingested=True)
            )
        return len(fresh)

    def _fresh(
        self, db: Connection, serial: str, log_id: int, found: parse.Parsed
    ) -> list[parse.Placed]:
        # Records whose place was not taken before; the same slot twice counts once.
        by_sector: dict[int, list[parse.Placed]] = defaultdict(list)
        for placed in found.records:
            by_sector[placed.sector].append(placed)
        fresh: list[parse.Placed] = []
        key = (ledger.slots.c.serial == serial) & (ledger.slots.c.log_id == log_id)
        for sector in by_sector.keys() | found.bad.keys():
            row = db.execute(select(ledger.slots).where(key & (ledger.slots.c.sector == sector)))
            known = row.mappings().first()
            seen = int.from_bytes(known["seen"], "little") if known else 0
            for placed in by_sector.get(sector, ()):
                if not seen >> placed.slot & 1:
                    seen |= 1 << placed.slot
                    fresh.append(placed)
            bad = max(found.bad.get(sector, 0), known["bad"] if known else 0)
            values = {"seen": seen.to_bytes(16, "little"), "bad": bad}
            db.execute(
                upsert(ledger.slots)
                .values(serial=serial, log_id=log_id, sector=sector, **values)
                .on_conflict_do_update(index_elements=["serial", "log_id", "sector"], set_=values)
            )
        return fresh

    def _points(self, db: Connection, batch: batches.Batch, fresh: list[parse.Placed]) -> None:
        header = batch.header
        points = [
            {
                "boot_id": header.boot_id,
                "run_s": header.run_s + header.run_ms / 1000,
                "utc_s": header.utc_s + header.utc_ms / 1000,
                "error_ms": header.error_ms,
                "vouched": header.vouched,
            }
        ]
        for placed in fresh:
            if placed.record[0] == records.CLOCK:
                at, ms, source, _, utc, utc_ms, error, _ = records.read_clock(placed.record)
                points.append(
                    {
                        "boot_id": placed.boot_id,
                        "run_s": placed.base_s + at + ms / 1000,
                        "utc_s": utc + utc_ms / 1000,
                        "error_ms": error,
                        "vouched": source == records.SOURCE_STATION,
                    }
                )
        for point in points:
            db.execute(
                upsert(ledger.clock_points)
                .values(serial=header.serial, **point)
                .on_conflict_do_nothing()
            )

    def _timelines(self, db: Connection, serial: str, boots: set[int]) -> dict[int, Timeline]:
        points: dict[int, list[Point]] = defaultdict(list)
        rows = db.execute(select(ledger.clock_points).where(ledger.clock_points.c.serial == serial))
        for row in rows.mappings():
            if row["boot_id"] in boots:
                points[row["boot_id"]].append(Point(row["run_s"], row["utc_s"], row["vouched"]))
        return {boot: Timeline(found) for boot, found in points.items()}

    def _marks(
        self,
        db: Connection,
        serial: str,
        log_id: int,
        fresh: list[parse.Placed],
        lines: dict[int, Timeline],
    ) -> None:
        for placed in fresh:
            kind = placed.record[0]
            value = number = 0
            if kind in (records.DOCK, records.STATE, records.CHARGE):
                _, at, value, number = records.read_mark(placed.record)
            elif kind == records.LOSS:
                at, value, first, end = records.read_loss(placed.record)
                number = end - first
            elif kind == records.BOOT:
                at, value, _, _, number = records.read_boot(placed.record)
            elif kind == records.HEALTH:
                at, *losses = records.read_health(placed.record)
                value = sum(losses[:5])
            else:
                continue
            line = lines.get(placed.boot_id)
            db.execute(
                upsert(ledger.marks)
                .values(
                    serial=serial,
                    log_id=log_id,
                    sector=placed.sector,
                    slot=placed.slot,
                    kind=kind,
                    utc_s=round(line.utc(placed.base_s + at)) if line else None,
                    value=value,
                    number=number,
                )
                .on_conflict_do_nothing()
            )

    def _row(self, band: int, log_id: int, placed: parse.Placed, line: Timeline) -> store.Row:
        rid, at, duration, count, mean, top, _, _ = records.read_encounter(placed.record)
        start = round(line.utc(placed.base_s + at))
        found = self._identities.find(rid, start)
        return store.Row(
            observer=band,
            contact=found[0] if found else -1,
            rotating_id=rid,
            start_s=start,
            duration_s=duration,
            sightings=count,
            rssi_mean=mean,
            rssi_max=top,
            on_time=bool(found and found[1]),
            log_id=log_id,
            sector=placed.sector,
            slot=placed.slot,
        )

    def _resolve_again(self) -> None:
        with self._engine.begin() as db:
            rows = db.execute(select(ledger.segments).where(ledger.segments.c.unresolved > 0))
            for segment in list(rows.mappings()):
                kept = store.read(self._encounters, segment["path"])
                for row in kept:
                    if row.contact < 0:
                        found = self._identities.find(row.rotating_id, row.start_s)
                        if found:
                            row.contact, row.on_time = found
                unresolved = sum(row.contact < 0 for row in kept)
                if unresolved < segment["unresolved"]:
                    name = Path(segment["path"]).stem
                    store.write(self._encounters, segment["day"], name, kept)
                    db.execute(
                        update(ledger.segments)
                        .where(ledger.segments.c.path == segment["path"])
                        .values(unresolved=unresolved)
                    )

    # --- receipts ---------------------------------------------------------------------------

    def receipt(self, serial: str, log_id: int, first: int) -> dict[str, Any] | None:
        """Receipt from a band's receipted cursor on, as far as no slot is missing."""
        with self._engine.connect() as db:
            band = self._band(db, serial)
            if band is None:
                raise Unknown
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
            held: dict[int, bytes] = {}
            for name in names:
                for cursor, slots in batches.unpack((self._raw / name).read_bytes()).chunks:
                    for i in range(len(slots) // log.SLOT_BYTES):
                        if cursor + i >= first:
                            at = i * log.SLOT_BYTES
                            held.setdefault(cursor + i, slots[at : at + log.SLOT_BYTES])
        digest = hashlib.sha256()
        upto = first
        while upto in held:
            digest.update(held[upto])
            upto += 1
        if upto == first:
            return None
        made = receipt.mac(band["receipt_key"], serial, log_id, first, upto, digest.digest())
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
        with self._engine.connect() as db:
            band = self._band(db, serial)
            if band is None:
                raise Unknown
            names = {row["id"]: row for row in db.execute(select(ledger.bands)).mappings().all()}
            first, last = from_s // 86400 - 1, to_s // 86400
            paths = db.execute(
                select(ledger.segments.c.path).where(
                    ledger.segments.c.day >= first, ledger.segments.c.day <= last
                )
            ).scalars()
            files = [str(self._encounters / path) for path in paths]
            issues: dict[str, list[tuple[int, int]]] = defaultdict(list)
            for row in db.execute(
                select(ledger.marks).where(
                    ledger.marks.c.kind == records.STATE,
                    ledger.marks.c.value == records.ISSUED,
                    ledger.marks.c.utc_s.is_not(None),
                )
            ).mappings():
                issues[row["serial"]].append((row["utc_s"], row["number"]))
        rows = evidence(files, band["id"], from_s, to_s)
        grouped: dict[tuple[int, int], list[Evidence]] = defaultdict(list)
        for row in rows:
            other = row.contact if row.observer == band["id"] else row.observer
            # Two wearers of one band in turn are two contacts.
            holder = 0
            for at, number in sorted(issues[names[other]["serial"]]):
                if at <= row.start_s + 60:
                    holder = number
            grouped[(other, holder)].append(row)
        contacts = []
        for (other, holder), records_of in grouped.items():
            verdict = judge(self.rule, records_of, from_s, to_s)
            contacts.append(
                {
                    "serial": names[other]["serial"],
                    "holder": holder,
                    "role": names[other]["role"],
                    **verdict,
                    "both_sided": len({row.observer for row in records_of}) == 2,
                    "confirmed": all(row.on_time for row in records_of),
                    "evidence": [
                        {
                            "observer": names[row.observer]["serial"],
                            "log_id": row.log_id,
                            "sector": row.sector,
                            "slot": row.slot,
                            "start_s": row.start_s,
                            "duration_s": row.duration_s,
                            "sightings": row.sightings,
                            "rssi_mean": row.rssi_mean,
                            "rssi_max": row.rssi_max,
                        }
                        for row in records_of
                    ],
                }
            )
        contacts.sort(key=lambda c: (-c["near_min"], -c["total_min"], c["serial"]))
        return {"case": serial, "from_s": from_s, "to_s": to_s, "contacts": contacts}


def _secret(path: Path, size: int) -> str:
    if not path.exists():
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as f:
            f.write(secrets.token_hex(size))
    return path.read_text(encoding="ascii").strip()
