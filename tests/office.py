"""A health authority's office: a tracing server with its key, bands, hand-outs, docks and cases."""

import hashlib
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi.testclient import TestClient

from bandbook import DAY, NOON, A, B, BandBook, C, key
from stationed import come
from zoneband import seal
from zoneband.seal import Kind, PublicKey
from zoneband.server.app import make_app
from zoneband.tracing import case_words
from zoneband.wire import records

D, PLACE = "ZB-DDDD-000N", "ZB-PPPP-000V"


class Office:
    """A tracing server that holds the authority's key, spoken to as stations and tracers do."""

    def __init__(self, path: Path, **settings: Any) -> None:
        """settings: of the application, beside its keys."""
        self.path = path
        self.now = NOON + 86_400
        private = X25519PrivateKey.generate()
        self.authority = PublicKey(1, private.public_key().public_bytes_raw())
        keys = [self.authority], {1: private}
        app = make_app(path / "server", lambda: self.now, *keys, **settings)
        self.http = TestClient(app, client=("127.0.0.1", 1), raise_server_exceptions=False)
        self.station = come(self.http, path / "server", "st", lambda: self.now)
        tracer = (path / "server" / "tracer-token").read_text()
        self.tracer = {"Authorization": f"Bearer {tracer}"}
        self.books: dict[str, BandBook] = {}
        for serial in (A, B, C, D, PLACE):
            self.record(
                Kind.ENROLMENT,
                serial=serial,
                board="virtual",
                role="venue" if serial == PLACE else "band",
                base_day=DAY,
                base_key=key(serial).hex(),
                dock_key="00" * 32,
                receipt_key=key(serial + "r").hex(),
            )

    def record(self, kind: Kind, **facts: Any) -> None:
        data = seal.seal(self.authority, kind, facts)
        name = hashlib.sha256(data).hexdigest()
        path = f"/v1/stations/st/records/{name}"
        assert self.http.put(path, content=data, auth=self.station).status_code == 201

    def book(self, serial: str) -> BandBook:
        if serial not in self.books:
            self.books[serial] = BandBook(serial, self.path, boot_s=NOON - 3 * 86_400)
        return self.books[serial]

    def issue(self, serial: str, utc_s: int, number: int, name: str) -> None:
        """A hand-out: the band's mark, and the person's sealed record."""
        self.book(serial).mark(records.STATE, utc_s, records.ISSUED, number)
        self.record(Kind.PERSON, serial=serial, number=number, utc_s=utc_s, name=name, phone=None)

    def record_returned(self, serial: str, number: int, utc_s: int) -> None:
        """What a station says of a band that was taken back."""
        self.record(Kind.EVENT, serial=serial, number=number, utc_s=utc_s, event="returned")

    def dock(self, *serials: str) -> None:
        for serial in serials or tuple(self.books):
            data = self.book(serial).batch()
            path = f"/v1/stations/st/batches/{hashlib.sha256(data).hexdigest()}"
            answer = self.http.put(path, content=data, auth=self.station)
            assert answer.is_success, answer.text

    def ask(self, method: str, path: str, **values: Any) -> Any:
        return self.http.request(method, path, headers=self.tracer, **values)

    def case_code(self) -> str:
        return self.ask("POST", "/v1/case-codes").json()["code"]

    def declare(self, serial: str, **facts: Any) -> dict[str, Any]:
        body = {"serial": serial, "code": self.case_code(), **facts}
        answer = self.ask("POST", "/v1/cases", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def refused(self, method: str, path: str, **values: Any) -> str:
        """The one line that a tracer reads."""
        answer = self.ask(method, path, **values)
        assert answer.status_code in (400, 404, 409), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        line = case_words.refusal(answer.json()["code"], answer.json()["values"])
        assert line and "\n" not in line
        return line

    def contacts(self, number: int, **params: Any) -> dict[str, Any]:
        answer = self.ask("GET", f"/v1/cases/{number}/contacts", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @contextmanager
    def serving(self) -> Generator[str]:
        """The same server on a port of this computer, with its own clock; its address."""
        config = uvicorn.Config(self.http.app, port=0, log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(20)
