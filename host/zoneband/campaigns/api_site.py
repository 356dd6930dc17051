"""A tracing server with everything in it that can be asked for, and credentials of each kind."""

import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pyotp
import pyotp.totp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Mount

from zoneband import batch
from zoneband.campaigns.made import Docked, MadeLog
from zoneband.server.accounts import csrf
from zoneband.server.app import make_app
from zoneband.server.audit import OPERATOR
from zoneband.server.enrolment import Enrolment
from zoneband.server.limits import NO_LIMITS
from zoneband.server.roles import ROLES
from zoneband.server.tracing_server import TracingServer
from zoneband.signing import Signature
from zoneband.sim import keys
from zoneband.wire import bluezone, log

ROUTES = ("nobody", "station", "tracer", "pages")
BODIES = ("batches", "records")
TARGETS = (*ROUTES, *BODIES)
STATION, TRACER = "st", "tracer"
SERIALS = ("ZB-0001-0000", "ZB-0002-0000", "ZB-0003-0000")
_PASSWORD = "a long word that nobody else has"
_MET = 200
_BASE = "http://testserver"


class ApiSite:
    """The server and its callers. app: its application; http: sends to it."""

    def __init__(self, where: Path, rng: random.Random) -> None:
        self.rng = rng
        self.now_s = time.time()
        self._token = ""
        day = int(self.now_s) // bluezone.DAY_S - 1
        server = TracingServer(where, utc=self.utc)
        server.unlock({keys.AUTHORITY_NUMBER: keys.PRIVATE_KEY})
        self.books = [self._band(server, serial, day) for serial in SERIALS]
        key = Ed25519PrivateKey.generate()
        code = server.stations.invite(STATION)
        server.stations.enrol(code, key.public_key().public_bytes_raw())
        self.signs = Signature(key, self.utc)
        for book in self.books:
            for data in self.dock(book).batches(STATION, 0):
                server.take(STATION, batch.name(data), data)
        onset = time.strftime("%Y-%m-%d", time.gmtime(self.now_s))
        code, _by_s = server.cases.codes.give(OPERATOR)
        server.cases.declare(SERIALS[0], onset, code=code)
        self._totp = pyotp.random_base32()
        server.accounts.add(TRACER, _PASSWORD, self._totp, ROLES)
        server.engine.dispose()
        self.app = make_app(
            where, self.utc, [keys.AUTHORITY], {keys.AUTHORITY_NUMBER: keys.PRIVATE_KEY}, NO_LIMITS
        )
        self.tracing: TracingServer = self.app.state.server
        self._bearer = self.tracing.tracer_token
        self.http = TestClient(self.app, client=("127.0.0.1", 1), raise_server_exceptions=False)

    def utc(self) -> float:
        """Unix seconds now."""
        return self.now_s

    def _band(self, server: TracingServer, serial: str, day: int) -> MadeLog:
        base, receipts = self.rng.randbytes(32), self.rng.randbytes(32)
        server.enrol(
            Enrolment(
                serial, "virtual", "venue" if serial == SERIALS[2] else "band", day, base,
                bytes(32), receipts, log_format=log.FORMAT_SEALED,
            )
        )  # fmt: skip
        book = MadeLog(serial, receipts, keys.AUTHORITY, day * bluezone.DAY_S, 7)
        ids = bluezone.day_ids(base)
        for n in range(_MET):
            start_s = book.boot_s + 100 * (n + 1)
            book.add((ids[bluezone.slot_at(start_s)], start_s, 90, 20, -60, -55))
        return book

    def dock(self, book: MadeLog) -> Docked:
        """A band at a dock."""
        return Docked(book.serial, book.log_id, book.boot_s, 0, bytes(book.slots))

    # --- requests ---------------------------------------------------------------------------------

    def described(self, name: str) -> tuple[FastAPI, str]:
        """The application whose routes a target asks, and where it is."""
        if name != "pages":
            return self.app, _BASE
        [pages] = [r.app for r in self.app.routes if isinstance(r, Mount) and r.path == "/tracer"]
        assert isinstance(pages, FastAPI)
        return pages, f"{_BASE}/tracer"

    def request(
        self, method: Any, url: Any, headers: Mapping[str, Any], body: Any
    ) -> httpx2.Request:
        """A request as it goes out."""
        content: bytes = body.encode() if isinstance(body, str) else body or b""
        sent = [
            (k.encode(), v if isinstance(v, bytes) else str(v).encode("utf-8", "replace"))
            for k, v in headers.items()
            if k.lower() not in ("content-length", "transfer-encoding", "host")
        ]
        return self.http.build_request(method, url, content=content, headers=httpx2.Headers(sent))

    def make_known(self, case: Any, name: str) -> None:
        """Have a made-up request ask for what is there."""
        there = {
            "name": STATION, "serial": self.rng.choice(SERIALS), "number": 1, "right": 1,
            "serial_a": SERIALS[0], "serial_b": SERIALS[1],
        }  # fmt: skip
        values = {**there, "from": "2020-01-01", "to": "2030-01-01", "case": 1}
        parts = [case.path_parameters, case.query, case.body]
        for part in parts:
            if isinstance(part, dict):
                part.update({k: v for k, v in values.items() if k in part})
        if name == "pages" and isinstance(case.body, dict):
            case.body["form"] = csrf(self._session())

    def credentials(self, name: str, made: httpx2.Request) -> None:
        """Let a target's caller show who they are."""
        if name == "station":
            made.headers.pop("authorization", None)
            self.signs.sign(made)
        elif name == "tracer":
            made.headers["authorization"] = f"Bearer {self._bearer}"
        elif name == "pages":
            made.headers["cookie"] = f"zoneband-session={self._session()}"

    def look_after(self, name: str) -> None:
        """Time goes on between requests."""
        self.now_s += 0.5 if name == "pages" else 0.001

    def _session(self) -> str:
        accounts = self.tracing.accounts
        if not self._token or accounts.session(self._token) is None:
            # A code is good once; and wrong tries are forgotten in a day.
            self.now_s += 90_000
            code = pyotp.totp.TOTP(self._totp).at(int(self.now_s))
            self._token = accounts.login(TRACER, _PASSWORD, code, "127.0.0.1")
        return self._token

    def upload(self, kind: str, body: bytes) -> httpx2.Request:
        """A body as a station sends it; kind: batches or records."""
        path = f"{_BASE}/v1/stations/{STATION}/{kind}/{batch.name(body)}"
        made = self.http.build_request("PUT", path, content=body)
        self.signs.sign(made)
        return made

    def questions(self) -> Iterator[httpx2.Request]:
        """What a tracer asks of bands whose logs came."""
        for serial in SERIALS:
            for path in ("bands/{}", "traces/{}?from=2020-01-01&to=2030-01-01"):
                made = self.http.build_request("GET", f"{_BASE}/v1/{path.format(serial)}")
                self.credentials("tracer", made)
                yield made
