"""The tracing server under load: taking logs in, and answering."""

import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from bench.rows import rows

_BANDS = 10_000
_DAYS = 21
_SECTORS = 60  # of one batch, as a station makes them
_BATCHES = 48
_CONNECTIONS = 4


def _serial(n: int) -> str:
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    text = "".join(digits[n >> 5 * i & 31] for i in range(8))
    return f"ZB-{text[:4]}-{text[4:]}"


def _enrol(server, today: int) -> list[bytes]:
    """10,000 bands straight into the ledger: over HTTP each would take its own transaction."""
    from sqlalchemy import insert

    from zoneband.server import ledger

    keys = [os.urandom(32) for _ in range(_BANDS)]
    with server._engine.begin() as db:
        db.execute(
            insert(ledger.bands),
            [
                {
                    "id": n + 1, "serial": _serial(n), "board": "virtual", "role": "band",
                    "base_day": today - _DAYS, "base_key": key, "dock_key": key, "receipt_key": key,
                }
                for n, key in enumerate(keys)
            ],
        )  # fmt: skip
    return keys


def _ids(keys: list[bytes], today: int) -> np.ndarray:
    """(days, bands, 96, 12): every ID of the last 21 days, oldest day first."""
    from zoneband.wire import bluezone

    out = np.empty((_DAYS, len(keys), 96, 12), np.uint8)
    for n, key in enumerate(keys):
        for day in range(_DAYS):
            out[day, n] = np.frombuffer(b"".join(bluezone.day_ids(key)), np.uint8).reshape(96, 12)
            key = bluezone.next_day_key(key)
    return out


def _batch(band: int, ids: np.ndarray, today: int, rng: np.random.Generator) -> bytes:
    """60 full sectors of one band: a crowded day, 124 records a sector less two marks."""
    from zoneband import batch
    from zoneband.wire import log, records

    day = int(rng.integers(0, _DAYS))
    start_s = (today - _DAYS + day) * 86400
    slots: list[bytes] = []
    at = 0
    for sector in range(_SECTORS):
        slots.append(log.pack_header(log.FORMAT_OPEN, 0, 7, sector))
        group = log.pack_group(9, 0, bytes(80))
        slots += [group[i : i + 32] for i in range(0, 96, 32)]
        for slot in range(4, 128):
            at += 11
            if slot == 64:
                record = records.clock(at, 0, 0, 0, start_s + at, 0, 0, 0)
            else:
                other = int(rng.integers(0, _BANDS))
                # One in twenty is a phone's, which no table holds.
                rid = ids[day, other, at // 900].tobytes() if slot % 20 else os.urandom(12)
                record = records.encounter(rid, at, 120, 30, -70, -60, 0, 2)
            slots.append(record + log.tag_open(7, sector, slot, record))
    chunks = [(i, b"".join(slots[i : i + 30])) for i in range(0, len(slots), 30)]
    header = batch.BatchHeader(
        serial=_serial(band), board="virtual", firmware="0.1.0", station="st0", log_id=7,
        receipted=0, first=0, end=len(slots), boot_id=9, run_s=at, run_ms=0,
        utc_s=start_s + at, utc_ms=0, error_ms=5, vouched=True, state=1, battery_mv=3900,
    )  # fmt: skip
    return batch.pack(header, chunks)


@rows(("ingest_per_s", "1/s", ">=", 50_000))
def ingest() -> dict[str, float]:
    """Encounters per second over HTTP until durable and receipted: full batches, as stations make
    them, of 48 bands, over four connections; every one of 20,160,000 IDs may be in them."""
    import httpx2

    from zoneband import batch
    from zoneband.server.process import running
    from zoneband.server.tracing_server import TracingServer

    today = int(time.time()) // 86400
    rng = np.random.default_rng(5)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        server = TracingServer(data / "server")
        keys = _enrol(server, today)
        ids = _ids(keys, today)
        bodies = [_batch(n, ids, today, rng) for n in range(_BATCHES + 1)]
        count = sum(len(s) // 32 for _, s in batch.unpack(bodies[0]).chunks) - 6 * _SECTORS + 60
        del ids
        tokens = [server.add_station(f"st{n}") for n in range(_CONNECTIONS)]
        with running(data) as url:
            queue = list(bodies[1:])
            failed: list[int] = []

            def send(n: int, work: list[bytes]) -> None:
                headers = {"Authorization": f"Bearer {tokens[n]}"}
                with httpx2.Client(base_url=url, headers=headers, timeout=120) as http:
                    while work:
                        body = work.pop()
                        path = f"/v1/stations/st{n}/batches/{batch.name(body)}"
                        answer = http.put(path, content=body)
                        if answer.status_code != 201:
                            failed.append(answer.status_code)

            # The first batch makes the day tables, as the first ever does.
            strange = bodies[:1]
            send(0, strange)
            began = time.monotonic()
            threads = [threading.Thread(target=send, args=(n, queue)) for n in range(_CONNECTIONS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            spent = time.monotonic() - began
            assert not failed, failed
    return {"ingest_per_s": count * _BATCHES / spent}
