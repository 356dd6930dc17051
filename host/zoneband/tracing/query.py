"""Runs evidence.sql over a list of Parquet files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from zoneband.tracing.engine import Session, table

_SQL = (Path(__file__).parent / "evidence.sql").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Evidence:
    """One record as the query answers it; times are UTC seconds, levels dBm.

    observer, contact: whose bands these were, by the band ids of their usual bands, which differ
    from the bands themselves only while two wearers had swapped. due_s: when the ID's 15 minutes
    began by its own band's UTC; clock: how good start_s is (0 suspect, 1 the band's own, 2 vouched
    for by a station); shares: three 4-bit fifteenths of the sightings above -62, -70 and -78 dBm,
    lowest first, None where they were not kept."""

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
    boot_id: int = 0
    run_s: int = 0
    shares: int | None = None
    observer_band: int = -1
    contact_band: int = -1


class Pair(NamedTuple):
    """Records to look for: between two bands, or with other=-1 between one and any other, that
    touch [from_s, to_s)."""

    band: int
    other: int
    from_s: int
    to_s: int


def evidence(db: Session, pairs: Sequence[Pair]) -> list[list[Evidence]]:
    """The records of each pair; the view `encounters` must be there."""
    found: list[list[Evidence]] = [[] for _ in pairs]
    if not pairs:
        return found
    rows = ((number, *pair) for number, pair in enumerate(pairs))
    table(db, "pairs", ("number", "band", "other", "from_s", "to_s"), rows)
    for number, *values in db.rows(_SQL):
        found[number].append(Evidence(*values))
    return found
