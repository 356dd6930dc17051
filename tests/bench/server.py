"""The tracing server under load: taking logs in, and answering."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.rows import rows

_BANDS = 10_000
_DAYS = 21
_SECTORS = 60  # of one batch, as a station makes them
_BATCHES = 48
_CONNECTIONS = 4
_PASSPHRASE = "correct horse battery staple"


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
            insert(ledger.chains),
            [
                {"id": n + 1, "band": n + 1, "base_day": today - _DAYS, "base_key": key}
                for n, key in enumerate(keys)
            ],
        )
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


def _batch(band: int, keys: list[bytes], ids: np.ndarray, today: int, rng: Any) -> bytes:
    """60 full sectors of one band, sealed: a crowded day, 124 records a sector."""
    from sealedbook import SealedBook
    from zoneband.wire import records

    day = int(rng.integers(0, _DAYS))
    start_s = (today - _DAYS + day) * 86400
    book = SealedBook(_serial(band), receipt_key=keys[band], boot_s=start_s)
    others = rng.integers(0, _BANDS, _SECTORS * 124)
    for n in range(_SECTORS * 124):
        at = (n + 1) * 11
        if n % 124 == 60:
            record = records.clock(at, 0, 0, 0, start_s + at, 0, 0, 0)
        else:
            # One in twenty is a phone's, which no table holds.
            rid = ids[day, others[n], at // 900].tobytes() if n % 20 else os.urandom(12)
            record = records.encounter(rid, at, 120, 30, -70, -60, 0, 2)
        book.append(record)
    return book.batch(run_s=at, utc_s=start_s + at, station="st0")


def _authority(data: Path) -> None:
    """Put the key that the batches are sealed to where the server unlocks its keys from."""
    from sealedbook import AUTHORITY, NUMBER
    from zoneband import authority

    folder = authority.directory(data)
    authority._lock(folder, NUMBER, "", AUTHORITY.private_bytes_raw(), _PASSPHRASE)
    authority.trust(data, authority.PublicKey(NUMBER, AUTHORITY.public_key().public_bytes_raw()))


@rows(("open_slots_per_s", "1/s", ">=", 50_000))
def open_slots() -> dict[str, float]:
    """Slots of sealed logs opened and judged per second on one core: 60 full sectors with their key
    groups; the best of five."""
    from bandbook import key
    from sealedbook import AUTHORITY, NUMBER, SealedBook
    from zoneband import batch
    from zoneband.server.opener import Opener
    from zoneband.server.parse import parse

    book = SealedBook("ZB-AAAA-000K")
    book.fill(_SECTORS * 124)
    whole = batch.unpack(book.batch())
    opener = Opener({NUMBER: AUTHORITY}, book.serial, key(book.serial + "r"))
    spent: list[float] = []
    for _ in range(5):
        began = time.process_time()
        found = parse(whole, opener)
        spent.append(time.process_time() - began)
        assert {128 * p.sector + p.slot: p.record for p in found.records} == book.records
    return {"open_slots_per_s": len(book.records) / min(spent)}


def _ingest(ledger_url: str = "") -> float:
    """Encounters a second; ledger_url: of a PostgreSQL, "" for SQLite."""
    import httpx2

    from stationed import known
    from zoneband import batch
    from zoneband.server import database
    from zoneband.server.process import running
    from zoneband.server.tracing_server import TracingServer
    from zoneband.signing import Signature

    today = int(time.time()) // 86400
    rng = np.random.default_rng(5)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        if ledger_url:
            (data / "server").mkdir()
            database.keep(data / "server", database.read_url(ledger_url))
        server = TracingServer(data / "server")
        keys = _enrol(server, today)
        ids = _ids(keys, today)
        bodies = [_batch(n, keys, ids, today, rng) for n in range(_BATCHES + 1)]
        count = _SECTORS * 123
        slots = batch.unpack(bodies[0]).header.end
        del ids
        signers = [Signature(known(server, f"st{n}")) for n in range(_CONNECTIONS)]
        _authority(data)
        with running(data, _PASSPHRASE, ledger=ledger_url) as url:
            queue = list(bodies[1:])
            failed: list[int] = []

            def send(n: int, work: list[bytes]) -> None:
                with httpx2.Client(base_url=url, auth=signers[n], timeout=120) as http:
                    while work:
                        body = work.pop()
                        path = f"/v1/stations/st{n}/batches/{batch.name(body)}"
                        answer = http.put(path, content=body)
                        if answer.status_code != 201 or answer.json()["receipt"]["upto"] != slots:
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
    return count * _BATCHES / spent


@rows(("ingest_per_s", "1/s", ">=", 50_000), ("sealed_ingest_per_s", "1/s", ">=", 50_000))
def ingest() -> dict[str, float]:
    """Encounters per second over HTTP until durable and receipted: full sealed batches, as stations
    make and sign them, of 48 bands, over four connections; every one of 20,160,000 IDs may be in
    them. Both names are of one measurement: since stations sign, no other batches are taken."""
    found = _ingest()
    return {"ingest_per_s": found, "sealed_ingest_per_s": found}


@rows(("postgres_ingest_ratio", "", None, None))
def postgres_ingest() -> dict[str, float]:
    """The same with the ledger in PostgreSQL, as a share of what SQLite does right before it."""
    from postgres import cluster

    lite = _ingest()
    with cluster() as postgres:
        return {"postgres_ingest_ratio": _ingest(postgres.database()) / lite}


_STATIONS, _PULL = 16, 240
_MOST = 400  # batches of one station, more than it can send
_MINUTE_S = 60.0
# What stations do, in a process of their own: each sends its batches one after the other.
_SENDERS = """
import json, sys, threading, time
from pathlib import Path
import httpx2
from zoneband import batch
from zoneband.signing import Signature, read_key
url, folder, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
spent, wrong = [], []
def station(name):
    bodies = sorted((folder / name).glob("*.batch"))
    with httpx2.Client(base_url=url, auth=Signature(read_key(folder / name / "key.pem")),
                       timeout=120) as http:
        http.get(f"/v1/stations/{name}/groups")  # the connection
        for path in bodies:
            body = path.read_bytes()
            began = time.monotonic()
            if began > until:
                return
            answer = http.put(f"/v1/stations/{name}/batches/{batch.name(body)}", content=body)
            spent.append(time.monotonic() - began)
            if answer.status_code != 201 or not answer.json()["receipt"]:
                wrong.append(answer.status_code)
    wrong.append("too few batches were made")
until = time.monotonic() + seconds
threads = [threading.Thread(target=station, args=(name,)) for name in sys.argv[4:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps([spent, wrong]))
"""


@rows(
    ("p99_ingest_ms_16_stations", "ms", "<=", 500), ("ingest_16_stations_per_s", "1/s", None, None)
)
def stations_at_once() -> dict[str, float]:
    """16 stations that upload at once for a minute, each the next batch as soon as it has its
    receipt: 240 encounters of a band, three times what a band records a day. From the request to
    the receipt, of all batches the slowest hundredth; and batches per second. The tables of IDs of
    10,000 bands are made before, as each day's is once a day."""
    import httpx2

    from stationed import known
    from zoneband import batch
    from zoneband.server.process import running
    from zoneband.server.tracing_server import TracingServer
    from zoneband.signing import Signature, write_key

    today = int(time.time()) // 86400
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        server = TracingServer(data / "server")
        keys = _enrol(server, today)
        ids = _ids(keys[: 2 * _STATIONS], today)
        for n in range(_STATIONS):
            place = data / f"st{n}"
            place.mkdir()
            key = known(server, place.name)
            write_key(place / "key.pem", key)
            for i in range(_MOST):
                body = _pull(_STATIONS * i + n, keys, ids, today, rng)
                (place / f"{i:04d}.batch").write_bytes(body)
        _authority(data)
        first = _pull(_STATIONS * _MOST, keys, ids, today, rng)
        with running(data, _PASSPHRASE) as url:
            with httpx2.Client(base_url=url, auth=Signature(key), timeout=300) as http:
                path = f"/v1/stations/st{_STATIONS - 1}/batches/{batch.name(first)}"
                assert http.put(path, content=first).status_code == 201
            words = [sys.executable, "-c", _SENDERS, url, str(data), str(_MINUTE_S)]
            halves = [
                subprocess.Popen(
                    [*words, *(f"st{n}" for n in range(half, _STATIONS, 2))],
                    stdout=subprocess.PIPE,
                )
                for half in range(2)
            ]
            found = [json.loads(each.communicate()[0]) for each in halves]
        spent = sorted(one for times, _wrong in found for one in times)
        wrong = [one for _times, each in found for one in each]
        assert not wrong, wrong[:5]
    return {
        "p99_ingest_ms_16_stations": spent[int(0.99 * len(spent))] * 1000,
        "ingest_16_stations_per_s": len(spent) / _MINUTE_S,
    }


def _pull(band: int, keys: list[bytes], ids: np.ndarray, today: int, rng: Any) -> bytes:
    """One band's crowded day, sealed: 240 encounters."""
    from sealedbook import SealedBook
    from zoneband.wire import records

    start_s = (today - 1) * 86400
    book = SealedBook(_serial(band), receipt_key=keys[band], boot_s=start_s)
    others = rng.integers(0, ids.shape[1], _PULL)
    for n in range(_PULL):
        at = (n + 1) * 300
        rid = ids[_DAYS - 1, others[n], at // 900].tobytes() if n % 20 else os.urandom(12)
        book.append(records.encounter(rid, at, 120, 30, -70, -60, 0, 2))
    return book.batch(run_s=at, utc_s=start_s + at, station="st0")


_ASK = """
import json, sys, time
from pathlib import Path
from zoneband.server.tracing_server import TracingServer
directory, serial, from_s, to_s = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
server = TracingServer(directory)
began = time.monotonic()
found = server.trace(serial, from_s, to_s)
spent = time.monotonic() - began
# Not ru_maxrss: a child begins with its parent's.
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps([spent, peak, len(found["contacts"])]))
"""


@rows(("trace_1m_s", "s", "<=", 0.5), ("trace_1m_mb", "MB", "<=", 512))
def trace_1m() -> dict[str, float]:
    """One case over 14 days in 1 M encounters: 10,000 bands, each in a circle of 20 that it meets
    again and again and among strangers for a third of its encounters; 14 segments a day. A fresh
    process answers, so that its peak memory is the server's own."""
    from sqlalchemy import insert

    from zoneband.server import ledger, store
    from zoneband.server.tracing_server import TracingServer

    today = int(time.time()) // 86400
    rng = np.random.default_rng(11)
    count, days, parts = 1_000_000, 14, 14
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        server = TracingServer(data)
        _enrol(server, today)
        spans = []
        for part in range(days * parts):
            day = today - days + part // parts
            n = count // (days * parts)
            observer = rng.integers(1, _BANDS + 1, n)
            circle = (observer - 1) // 20 * 20 + rng.integers(1, 21, n)
            contact = np.where(rng.random(n) < 2 / 3, circle, rng.integers(1, _BANDS + 1, n))
            start = day * 86400 + rng.integers(0, 86_000, n)
            columns = {
                "observer": observer, "contact": contact, "start_s": start,
                "rotating_id": rng.integers(0, 256, (n, 12)).astype(np.uint8),
                "due_s": start // 900 * 900, "duration_s": rng.integers(0, 300, n),
                "sightings": rng.integers(1, 75, n), "rssi_mean": rng.integers(-90, -55, n),
                "rssi_max": rng.integers(-60, -40, n), "boot_id": observer, "run_s": start,
                "clock": np.full(n, 2), "log_id": observer, "sector": np.arange(n) // 124,
                "slot": 4 + np.arange(n) % 124,
            }  # fmt: skip
            path = store.write(data / "encounters", day, columns)
            with server._engine.begin() as db:
                db.execute(
                    insert(ledger.segments).values(
                        path=path, day=day, rows=n, level=1, unresolved=0, tried=0, loose=0
                    )
                )
        for band in range(_BANDS):
            for day in range(today - days, today):
                spans.append(
                    {
                        "serial": _serial(band), "boot_id": band, "run_s": day * 86400.0,
                        "until_s": day * 86400.0 + 85_000, "utc_s": day * 86400.0, "error_ms": 5,
                        "quality": 2, "of_band": True,
                    }
                )  # fmt: skip
        with server._engine.begin() as db:
            db.execute(insert(ledger.clock_spans), spans)
        del server, spans
        os.sync()  # what this set-up wrote is not the query's to wait for
        asked = subprocess.run(
            [sys.executable, "-c", _ASK, str(data), _serial(4321)]
            + [str((today - days) * 86400), str(today * 86400)],
            capture_output=True,
            text=True,
            check=True,
        )
    spent, peak, contacts = json.loads(asked.stdout)
    assert contacts >= 20
    return {"trace_1m_s": spent, "trace_1m_mb": peak}
