"""A tracing server with sealed logs, spoken to over its HTTP interface by several stations."""

import hashlib
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from bandbook import DAY, NOON, A, B, C, key
from sealedbook import AUTHORITY, NUMBER, SealedBook
from stationed import come
from zoneband.seal import PublicKey
from zoneband.server.app import make_app
from zoneband.server.enrolment import Enrolment
from zoneband.server.tracing_server import TracingServer
from zoneband.signing import Signature
from zoneband.wire import receipt

KEYS = {NUMBER: AUTHORITY}
PUBLIC = PublicKey(NUMBER, AUTHORITY.public_key().public_bytes_raw())
Chunks = list[tuple[int, bytes]]


class Server:
    """A tracing server with bands A, B and C, spoken to over HTTP."""

    def __init__(self, path: Path, unlocked: bool = True, log_format: int = 0) -> None:
        server = TracingServer(path, utc=lambda: NOON + 86_400)
        for serial in (A, B, C):
            keys = key(serial), bytes(32), key(serial + "r")
            server.enrol(Enrolment(serial, "virtual", "band", DAY, *keys, log_format=log_format))
        private = KEYS if unlocked else None
        app = make_app(path, lambda: NOON + 86_400, [PUBLIC], private)
        self.http = TestClient(app, client=("127.0.0.1", 1))
        self._path = path
        self.stations: dict[str, Signature] = {}
        self.station = self.register("st")
        self.tracer = {"Authorization": f"Bearer {(path / 'tracer-token').read_text()}"}

    def register(self, name: str) -> Signature:
        """A station of that name, if there is none yet."""
        if name not in self.stations:
            self.stations[name] = come(self.http, self._path, name, lambda: NOON + 86_400)
        return self.stations[name]

    def send(self, data: bytes, station: str = "st") -> Any:
        name = hashlib.sha256(data).hexdigest()
        place = f"/v1/stations/{station}/batches/{name}"
        return self.http.put(place, content=data, auth=self.register(station))

    def put(self, data: bytes, station: str = "st") -> dict[str, Any]:
        answer = self.send(data, station)
        assert answer.status_code in (200, 201, 202), answer.text
        return answer.json()

    def state(self, serial: str = A) -> dict[str, Any]:
        logs = self.http.get(f"/v1/bands/{serial}", headers=self.tracer).json()["logs"]
        assert len(logs) == 1
        return logs[0]

    def wrong(self, serial: str = A) -> dict[str, int]:
        """The kinds of what is wrong, with their numbers of slots."""
        state = self.state(serial)
        kinds = ("torn", "altered", "missing", "foreign")
        return {kind: state[kind] for kind in kinds if state[kind]}

    def receipt(
        self, book: SealedBook, first: int = 0, station: str = "st"
    ) -> dict[str, Any] | None:
        where = f"/v1/bands/{book.serial}/receipt"
        asked = {"log_id": book.log_id, "first": first}
        answer = self.http.get(where, params=asked, auth=self.register(station))
        return answer.json()["receipt"]

    def order(self, serial: str, kind: str) -> None:
        where = f"/v1/bands/{serial}/orders"
        assert self.http.post(where, json={"kind": kind}, headers=self.tracer).status_code == 201

    def trace(self, serial: str) -> dict[str, Any]:
        answer = self.http.get(
            f"/v1/traces/{serial}",
            params={"from": "2026-11-03", "to": "2026-11-03"},
            headers=self.tracer,
        )
        return {c["serial"]: c for c in answer.json()["contacts"]}


def held_against(book: SealedBook, made: dict[str, Any] | None) -> int:
    """The end of a receipt that this band would take."""
    assert made is not None
    digest = hashlib.sha256(b"".join(book.slots[made["first"] : made["upto"]])).digest()
    mac = receipt.mac(
        key(book.serial + "r"), book.serial, book.log_id, made["first"], made["upto"], digest
    )
    assert bytes.fromhex(made["mac"]) == mac
    return made["upto"]


def in_chunks(slots: list[bytes], first: int = 0) -> Chunks:
    whole = b"".join(slots)
    return [(first + at // 32, whole[at : at + 30 * 32]) for at in range(0, len(whole), 30 * 32)]
