"""Encounter records of a band to the columns of the store, all of a batch at once."""

from collections.abc import Mapping, Sequence

import numpy as np

from zoneband.server import store
from zoneband.server.parse import Placed
from zoneband.server.timeline import Timeline
from zoneband.server.unwanted import DAY_S, UNPLACED_DAY

UNPLACED = -1  # `clock` of encounters whose boot has no clock point yet
# As wire.records.encounter lays it out.
_ENCOUNTER = np.dtype(
    [
        ("kind", "u1"),
        ("rotating_id", "u1", (12,)),
        ("at_s", "u1", (3,)),
        ("duration_s", "<u2"),
        ("sightings", "<u2"),
        ("rssi_mean", "i1"),
        ("rssi_max", "i1"),
        ("tail", "<u2"),
    ]
)
_SHARES = 0xFFF
_24_BITS = np.array([1, 1 << 8, 1 << 16], np.int64)


def columns(band: int, log_id: int, heard: Sequence[Placed]) -> store.Columns:
    """Everything of n encounters (at least one) but the times and whose the IDs are."""
    raw = np.frombuffer(b"".join([placed.record for placed in heard]), _ENCOUNTER)
    n = len(heard)
    found: store.Columns = {
        name: raw[name].astype(np.int64)
        for name in ("duration_s", "sightings", "rssi_mean", "rssi_max")
    }
    bases = np.array([placed.base_s for placed in heard], np.int64)
    found["run_s"] = bases + raw["at_s"] @ _24_BITS
    found["boot_id"] = np.array([placed.boot_id for placed in heard], np.int64)
    found["sector"] = np.array([placed.sector for placed in heard], np.int64)
    found["slot"] = np.array([placed.slot for placed in heard], np.int64)
    found["shares"] = raw["tail"].astype(np.int64) & _SHARES
    found["rotating_id"] = np.ascontiguousarray(raw["rotating_id"])
    found["observer"] = np.full(n, band, np.int64)
    found["log_id"] = np.full(n, log_id, np.int64)
    found["contact"] = np.full(n, -1, np.int64)
    found["due_s"] = np.full(n, -1, np.int64)
    return found


def place(rows: store.Columns, lines: Mapping[int, Timeline]) -> None:
    """Give each row its true UTC, and how good that is, by its boot's timeline."""
    boots, runs = rows["boot_id"], rows["run_s"]
    start = np.full(len(boots), UNPLACED_DAY * DAY_S, np.int64)
    clock = np.full(len(boots), UNPLACED, np.int64)
    for boot in np.unique(boots).tolist():
        line = lines.get(boot)
        if line is not None:
            mine = np.flatnonzero(boots == boot)
            start[mine] = [round(line.utc(run_s)) for run_s in runs[mine].tolist()]
            clock[mine] = line.quality
    rows["start_s"], rows["clock"] = start, clock
