"""How a tracing server is, in numbers: for `zoneband status`, /metrics and /healthz."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from zoneband import disk
from zoneband.localtime import local
from zoneband.server import ledger
from zoneband.server.ingest import UNPLACED_DAY
from zoneband.server.sealed import KEPT
from zoneband.server.stations import Stations


@dataclass(frozen=True)
class Condition:
    """bands: enrolled; batches_today: since midnight in Vietnam; waiting_batches, waiting_records:
    logs and sealed records that are not worked in, and since when the oldest waits (UTC seconds,
    None: none does); encounters, unresolved: rows held, and those of IDs that are nobody's yet;
    days: on which there are encounters, the oldest counted from 1970; stations: as Stations.every;
    disk_free: bytes; postgresql: where the ledger is."""

    bands: int
    batches_today: int
    waiting_batches: int
    waiting_records: int
    waiting_since_s: int | None
    encounters: int
    unresolved: int
    days: int
    oldest_day: int | None
    stations: list[dict[str, Any]]
    disk_free: int
    postgresql: bool


def look(engine: Engine, stations: Stations, directory: Path, utc_s: float) -> Condition:
    """A server's condition now. Raises what SQLAlchemy raises when the ledger is away."""
    midnight_s = int(local(utc_s).replace(hour=0, minute=0, second=0).timestamp())
    batches, sealed, segments = ledger.batches, ledger.sealed, ledger.segments
    with engine.connect() as db:
        bands = db.execute(select(func.count()).select_from(ledger.bands)).scalar_one()
        today = db.execute(
            select(func.count()).select_from(batches).where(batches.c.came_s >= midnight_s)
        ).scalar_one()
        logs = db.execute(
            select(func.count(), func.min(batches.c.came_s)).where(~batches.c.ingested)
        ).one()
        records = db.execute(
            select(func.count(), func.min(sealed.c.came_s)).where(sealed.c.state == KEPT)
        ).one()
        rows = db.execute(select(func.sum(segments.c.rows), func.sum(segments.c.unresolved))).one()
        held = db.execute(
            select(func.count(segments.c.day.distinct()), func.min(segments.c.day)).where(
                segments.c.day != UNPLACED_DAY
            )
        ).one()
    since = [at_s for at_s in (logs[1], records[1]) if at_s is not None]
    return Condition(
        bands=bands,
        batches_today=today,
        waiting_batches=logs[0],
        waiting_records=records[0],
        waiting_since_s=min(since, default=None),
        encounters=int(rows[0] or 0),
        unresolved=int(rows[1] or 0),
        days=held[0],
        oldest_day=held[1],
        stations=stations.every(),
        disk_free=disk.free_bytes(directory),
        postgresql=engine.dialect.name == "postgresql",
    )


def day_name(day: int) -> str:
    """A day counted from 1970, such as 24/11/2026."""
    return f"{local(0).replace(hour=0) + timedelta(days=day):%d/%m/%Y}"
