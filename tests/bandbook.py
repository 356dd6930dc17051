"""Logs as a band's own firmware writes them, for tests that need no virtual band."""

import hashlib
from pathlib import Path
from typing import Any

from band import logread
from band.bandlog import BandLog
from band.openslots import OpenSlots
from band.store import Store
from support import MemoryNvs, NorFlash
from zoneband import batch as batches
from zoneband.batch import BatchHeader
from zoneband.wire import bluezone, records

DAY = 20_760
NOON = DAY * 86_400 + 5 * 3600  # 12:00 in Vietnam
A, B, C = "ZB-AAAA-000K", "ZB-BBBB-0050", "ZB-CCCC-0008"


def key(serial: str) -> bytes:
    return hashlib.sha256(serial.encode()).digest()


def id_of(serial: str, utc_s: int) -> bytes:
    return bluezone.day_ids(key(serial))[bluezone.slot_at(utc_s)]


class BandBook:
    """A band's log as its own firmware writes it; run time 0 is NOON less an hour."""

    def __init__(self, serial: str, path: Path, boot_s: int = NOON - 3600) -> None:
        self.serial = serial
        self.boot_s = boot_s
        store = Store(MemoryNvs())
        self.log = BandLog(NorFlash(str(path / f"{serial}.bin"), 8), store, lambda: 77, OpenSlots())
        self.log.mount(5)

    def met(self, other: str, utc_s: int, minutes: int, rssi: int, id_s: int | None = None) -> None:
        """Encounters of five minutes each, as a band writes them."""
        for start in range(utc_s, utc_s + minutes * 60, 300):
            run_s = start - self.boot_s
            base = self.log.ready(run_s + 300)
            rid = id_of(other, start if id_s is None else id_s)
            self.log.append(records.encounter(rid, run_s - base, 298, 70, rssi, rssi + 8, 0xFFF, 6))

    def clock(self, utc_s: int, off_s: int = 0, source: int = records.SOURCE_RUNNING) -> None:
        """A clock mark, of a clock that is off_s fast."""
        run_s = utc_s - self.boot_s
        base = self.log.ready(run_s)
        self.log.append(records.clock(run_s - base, 0, source, 0, utc_s + off_s, 0, 0, 0))

    def mark(self, kind: int, utc_s: int, value: int, number: int) -> None:
        base = self.log.ready(utc_s - self.boot_s)
        self.log.append(records.mark(kind, utc_s - self.boot_s - base, value, number))

    def batch(self, first: int = 0, **changes: Any) -> bytes:
        head = self.log.head
        chunks = []
        for place, count in logread.preamble(self.log, first):
            buf = bytearray(count * 32)
            self.log.read(place, buf)
            chunks.append((place, bytes(buf)))
        cursor = first
        while cursor < head:
            buf = bytearray(30 * 32)
            n = self.log.read(cursor, buf)
            chunks.append((cursor, bytes(buf[: n * 32])))
            cursor += n
        run_s = NOON + 6 * 3600 - self.boot_s
        values: dict[str, Any] = dict(
            serial=self.serial, board="virtual", firmware="0.1.0", station="st",
            log_id=self.log.log_id, receipted=first, first=first, end=head, boot_id=5,
            run_s=run_s, run_ms=0, utc_s=self.boot_s + run_s, utc_ms=0, error_ms=3,
            vouched=True, state=records.ISSUED, battery_mv=3900,
        )  # fmt: skip
        return batches.pack(BatchHeader(**(values | changes)), chunks)
