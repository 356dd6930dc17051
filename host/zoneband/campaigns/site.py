"""A tracing server, its stations and their bands in processes that are killed; at the end, what is
there?

The server is `zoneband serve`, an uploader `zoneband upload`, each as staff run it. The ground
truth is what the bands acknowledged.
"""

import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from zoneband import authority, batch
from zoneband import station as stations
from zoneband.campaigns import docks, powerloss
from zoneband.campaigns.made import MadeLog
from zoneband.campaigns.nursery import NO_LIMIT, Child, Clock, Nursery
from zoneband.campaigns.tally import Verdict
from zoneband.seal import PublicKey
from zoneband.server import ledger, store
from zoneband.server.enrolment import Enrolment
from zoneband.server.tracing_server import TracingServer
from zoneband.spool import Spool
from zoneband.station import Station
from zoneband.wire import bluezone, log

STATIONS, BANDS = 3, 6
_PASSPHRASE = "correct horse battery staple"
_GAP_S = 20  # between the starts of a band's encounters
_STRANGERS = 0.05  # phones' share of the IDs, which are nobody's
_START_S, _END_S, _TURNS = 60.0, 60.0, 30
Place = tuple[int, int, int]
"""Band, log id and cursor of a record."""
Row = tuple[bytes, int, int, int, int, int, int]
"""As made.Met; and whose ID it is, -1: nobody's."""


class Site:
    """All of it, in one directory. Its processes come from a nursery, which ends them."""

    def __init__(self, where: Path, nursery: Nursery, rng: random.Random) -> None:
        self.rng = rng
        self._where = where
        self._nursery = nursery
        self._bands = where / "bands"
        self._bands.mkdir(parents=True)
        self.data = where / "data"
        self._place = self.data / "server"
        self.server_clock = Clock(where / "server.clock")
        self.station_clocks = [Clock(where / f"st{n}.clock") for n in range(STATIONS)]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        # Early in the day before, so that a site's encounters are all of one day.
        self._boot_s = int(time.time()) // bluezone.DAY_S * bluezone.DAY_S - bluezone.DAY_S + 600
        key = authority.make(self.data, _PASSPHRASE)
        self.books, self._ids = self._people(key)
        self._stations(key)
        self._durable = powerloss.inodes(self._place)
        self.server: Child | None = None
        self.uploaders: list[Child | None] = [None] * STATIONS
        self._docks: list[Child] = []

    def _people(self, key: PublicKey) -> tuple[list[MadeLog], list[list[bytes]]]:
        books: list[MadeLog] = []
        ids: list[list[bytes]] = []
        day = self._boot_s // bluezone.DAY_S
        server = TracingServer(self._place)
        for n in range(BANDS):
            base, receipts = self.rng.randbytes(32), self.rng.randbytes(32)
            serial = f"ZB-{n:04d}-0000"
            server.enrol(
                Enrolment(
                    serial, "virtual", "band", day, base, bytes(32), receipts,
                    log_format=log.FORMAT_SEALED,
                )
            )  # fmt: skip
            ids.append(bluezone.day_ids(base))
            books.append(MadeLog(serial, receipts, key, self._boot_s, 1000 + n))
        for n in range(STATIONS):
            mine = Ed25519PrivateKey.generate()
            code = server.stations.invite(f"st{n}")
            server.stations.enrol(code, mine.public_key().public_bytes_raw())
            url = f"http://127.0.0.1:{self._port}"
            stations.save(self._where / f"st{n}", Station(url, f"st{n}", mine, None))
        server.engine.dispose()
        return books, ids

    def _stations(self, key: PublicKey) -> None:
        for n in range(STATIONS):
            authority.trust(self._where / f"st{n}", key)

    # --- life -------------------------------------------------------------------------------------

    def live(self, most: int = 60) -> None:
        """The bands meet each other and strangers, up to `most` times each."""
        for at, book in enumerate(self.books):
            for _n in range(self.rng.randrange(1, most)):
                start_s = self._boot_s + (len(book.met) + 1) * _GAP_S
                other = self.rng.choice([n for n in range(BANDS) if n != at])
                rid = self._ids[other][bluezone.slot_at(start_s)]
                if self.rng.random() < _STRANGERS:
                    rid = self.rng.randbytes(12)
                mean = self.rng.randrange(-90, -50)
                book.add((rid, start_s, 9, self.rng.randrange(1, 30), mean, mean + 5))
            docks.put_away(self._bands, book)

    def serve(self) -> None:
        """Start the server, and wait until it answers. Raises RuntimeError when it does not."""
        words = ["serve", "--data", str(self.data), "--port", str(self._port)]
        self.server = self._nursery.start(
            "zoneband.cli.main:main",
            words,
            self._where / "server.out",
            self.server_clock,
            self._where / "journal",
            {"ZONEBAND_PASSPHRASE": _PASSPHRASE, "ZONEBAND_LEDGER": ""},
        )
        until = time.monotonic() + _START_S
        while time.monotonic() < until and self.server.alive():
            try:
                url = f"http://127.0.0.1:{self._port}/healthz"
                # Plain HTTP needs no certificates, and to read the system's takes 0.1 s.
                told = httpx2.get(url, trust_env=False, verify=False, timeout=2)
                if told.status_code == 200:
                    return
            except httpx2.HTTPError:
                time.sleep(0.01)
        raise RuntimeError("the server does not start")

    def dock(self, at: int, file_bytes: int = NO_LIMIT) -> Child:
        """All bands at one station, one after the other, in any order."""
        serials = [book.serial for book in self.books]
        self.rng.shuffle(serials)
        words = [str(self._where / f"st{at}"), f"st{at}", str(self._bands), *serials]
        child = self._nursery.start(
            "zoneband.campaigns.docks:main",
            words,
            self._where / f"st{at}.out",
            self.station_clocks[at],
            file_bytes=file_bytes,
        )
        self._docks.append(child)
        return child

    def upload(self, at: int, file_bytes: int = NO_LIMIT) -> Child:
        """What waits in a station's spool, on its way."""
        child = self._nursery.start(
            "zoneband.cli.main:main",
            ["upload", "--data", str(self._where / f"st{at}")],
            self._where / f"st{at}.out",
            self.station_clocks[at],
            file_bytes=file_bytes,
        )
        self.uploaders[at] = child
        return child

    def docked(self) -> bool:
        """Whether nobody is at a dock any more."""
        self._docks = [child for child in self._docks if child.alive()]
        return not self._docks

    def tend(self) -> None:
        """Each station sends again when it is done: something may have come. Raises RuntimeError
        when the server has ended by itself."""
        if self.server and self.server.over():
            raise RuntimeError("the server has ended by itself")
        for at, child in enumerate(self.uploaders):
            if child is None or not child.alive():
                self.upload(at)

    def tend_for(self, seconds: float) -> None:
        """`tend` for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.tend()
            time.sleep(0.005)

    def tend_until_batches(self, more: int, seconds: float) -> None:
        """`tend` until the server has so many batches more, for that long at most."""
        folder = self._place / "batches"
        wanted = len(os.listdir(folder)) + more
        until = time.monotonic() + seconds
        while len(os.listdir(folder)) < wanted and time.monotonic() < until:
            self.tend()
            time.sleep(0.005)

    def lose_power(self) -> None:
        """The server's computer loses its power, with all that was not synced."""
        if self.server:
            self.server.kill()
        powerloss.take_back(self._place, self._where / "journal", self._durable)
        (self._where / "journal").unlink()
        self._durable = powerloss.inodes(self._place)

    # --- the end ----------------------------------------------------------------------------------

    def settle(self) -> bool:
        """With all well, until everything is sent and every band has its receipt; False when that
        never comes."""
        for clock in (self.server_clock, *self.station_clocks):
            clock.ahead_s = 0
        for turn in range(_TURNS):
            # Each dock is a record more, as the band marks it: a receipt goes on from the last.
            self.live(2)
            dock = self.dock(turn % STATIONS)
            if not (self._await(dock.over) and self._await(self._all_sent)):
                return False
            if not self._await(self.dock(turn % STATIONS).over):
                return False
            if self._all_sent() and all(
                docks.receipted(self._bands, book.serial) == book.head for book in self.books
            ):
                return True
        return False

    def _await(self, done: Callable[[], bool]) -> bool:
        # True when it is; False when for a while nothing was sent, however slow the computer is.
        left = self._waiting()
        until = time.monotonic() + _END_S
        while not done():
            if time.monotonic() > until:
                return False
            self.tend_for(0.05)
            if (now := self._waiting()) < left:
                left, until = now, time.monotonic() + _END_S
        return True

    def _waiting(self) -> int:
        return sum(waiting for waiting, _refused in self._counts())

    def _counts(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for n in range(STATIONS):
            spool = Spool(stations.directory(self._where / f"st{n}"))
            found.append(spool.counts())
            spool.close()
        return found

    def _all_sent(self) -> bool:
        return self._waiting() == 0

    def crashes(self) -> list[str]:
        """What any process said as it broke."""
        said = [path.read_text(errors="replace") for path in sorted(self._where.glob("*.out"))]
        return [text[at : at + 4000] for text in said if (at := text.find("Traceback")) >= 0]

    def judge(self, settled: bool) -> Verdict:
        """What the server then holds against what the bands acknowledged. Call it when no process
        runs any more."""
        truth = self._truth()
        held, spoilt = self._held()
        lost = [place for place, row in truth.items() if row not in held.get(place, [])]
        doubled = sum(len(rows) - 1 for rows in held.values())
        strange = [place for place in held if place not in truth]
        wrong = [
            place for place, rows in held.items()
            if place in truth and any(row != truth[place] for row in rows)
        ]  # fmt: skip
        refused = sum(refused for _waiting, refused in self._counts())
        ends = {book.serial: docks.receipted(self._bands, book.serial) for book in self.books}
        said = (
            f"settled {settled}, refused {refused}, spoilt {spoilt}, receipts {ends}\n"
            f"lost {len(lost)}: {lost[:10]}\nstrange {len(strange)}: {strange[:10]}\n"
            f"wrong {len(wrong)}: {[(truth[p], held[p]) for p in wrong[:5]]}"
        )
        return Verdict(
            lost=len(lost) + refused,
            doubled=doubled,
            unreadable=len(strange) + len(wrong) + len(spoilt),
            bricked=0,
            truth=_lines({place: [row] for place, row in truth.items()}),
            result=_lines(held),
            said=said,
        )

    def _truth(self) -> dict[Place, Row]:
        owner = {rid: n for n, each in enumerate(self._ids) for rid in each}
        found: dict[Place, Row] = {}
        for at, book in enumerate(self.books):
            for cursor, met in book.met.items():
                found[at, book.log_id, cursor] = (*met, owner.get(met[0], -1))
        return found

    def _held(self) -> tuple[dict[Place, list[Row]], list[str]]:
        # Every row that the ledger's segments hold, by its place, and what the disk has spoilt.
        server = TracingServer(self._place)
        for book in self.books:
            # IDs that were nobody's are looked for again, as every trace does.
            server.trace(book.serial, self._boot_s, self._boot_s + bluezone.DAY_S)
        with server.engine.connect() as db:
            paths = list(db.execute(select(ledger.segments.c.path)).scalars())
            kept = set(db.execute(select(ledger.batches.c.name)).scalars())
            numbers = {row.id: row.serial for row in db.execute(select(ledger.bands))}
        server.engine.dispose()
        spoilt = [name for name in kept if not self._whole(name)]
        at = {book.serial: n for n, book in enumerate(self.books)}
        band = {number: at[serial] for number, serial in numbers.items()} | {-1: -1}
        held: dict[Place, list[Row]] = {}
        for path in paths:
            try:
                columns = store.read(self._place / "encounters", path)
            except store.Damaged:
                spoilt.append(path)
                continue
            for place, row in _rows(columns, band):
                held.setdefault(place, []).append(row)
        return held, spoilt

    def _whole(self, name: str) -> bool:
        try:
            return batch.name((self._place / "batches" / name).read_bytes()) == name
        except OSError:
            return False


def _rows(columns: store.Columns, band: dict[int, int]) -> list[tuple[Place, Row]]:
    names = (
        "observer", "log_id", "sector", "slot", "start_s", "duration_s", "sightings", "rssi_mean",
        "rssi_max", "contact",
    )  # fmt: skip
    table: list[list[Any]] = np.stack([columns[name] for name in names], axis=1).tolist()
    out: list[tuple[Place, Row]] = []
    for rid, (observer, log_id, sector, slot, *met, contact) in zip(
        columns["rotating_id"], table, strict=True
    ):
        start_s, duration_s, sightings, mean, top = met
        place = band[observer], log_id, log.cursor(sector, slot)
        row: Row = (bytes(rid), start_s, duration_s, sightings, mean, top, band[contact])
        out.append((place, row))
    return out


def _lines(rows: dict[Place, list[Row]]) -> bytes:
    return "\n".join(f"{place} {Counter(each)}" for place, each in sorted(rows.items())).encode()
