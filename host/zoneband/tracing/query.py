"""Runs evidence.sql over a list of Parquet files in DuckDB."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

_SQL = (Path(__file__).parent / "evidence.sql").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Evidence:
    """One record as the query answers it; times are UTC seconds, levels dBm. due_s: when the
    ID's 15 minutes began by its own band's UTC; clock: how good start_s is (0 suspect, 1 the
    band's own, 2 vouched for by a station)."""

    observer: int
    contact: int
    start_s: int
    duration_s: int
    sightings: int
    rssi_mean: int
    rssi_max: int
    due_s: int
    clock: int
    log_id: int
    sector: int
    slot: int


def evidence(files: list[str], band: int, from_s: int, to_s: int) -> list[Evidence]:
    """Records between a band and others that touch [from_s, to_s)."""
    if not files:
        return []
    with duckdb.connect(":memory:") as db:
        db.read_parquet(files).create_view("encounters")  # pyright: ignore[reportArgumentType]
        values = {"band": band, "from_s": from_s, "to_s": to_s}
        return [Evidence(*row) for row in db.execute(_SQL, values).fetchall()]
