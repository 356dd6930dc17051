"""A tracing server spoken to over its HTTP interface, for tests of groups and orders."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from bandbook import DAY, NOON, A, B, key
from stationed import come
from zoneband.server.app import make_app
from zoneband.server.enrolment import Enrolment
from zoneband.server.tracing_server import TracingServer
from zoneband.signing import Signature
from zoneband.wire import handshake, orders

NOW = NOON + 86_400


class Server:
    """A server with bands A and B of group 1, and station st."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = NOW
        server = TracingServer(path, utc=lambda: self.now)
        for serial in (A, B):
            keys = key(serial), handshake.dock_key(bytes(32), serial), key(serial + "r")
            server.enrol(Enrolment(serial, "virtual", "band", DAY, *keys))
        self.http = TestClient(make_app(path, lambda: self.now), client=("127.0.0.1", 1))
        self.station = self.register("st")
        self.tracer = {"Authorization": f"Bearer {(path / 'tracer-token').read_text()}"}

    def register(self, name: str, groups: Sequence[str] | None = None) -> Signature:
        return come(self.http, self.path, name, lambda: self.now, groups)

    def order(self, serial: str, kind: str) -> Any:
        path = f"/v1/bands/{serial}/orders"
        return self.http.post(path, json={"kind": kind}, headers=self.tracer)

    def pending(self, serial: str, after: int = 0) -> list[bytes]:
        answer = self.http.get(
            f"/v1/bands/{serial}/orders", params={"after": after}, auth=self.station
        )
        assert answer.status_code == 200, answer.text
        return [bytes.fromhex(order) for order in answer.json()["orders"]]

    def opened(self, serial: str, after: int = 0) -> list[tuple[int, int]]:
        """(number, kind) of what is pending, as the band itself reads it."""
        found = [
            orders.unpack(key(serial + "r"), serial, each) for each in self.pending(serial, after)
        ]
        return [(number, kind) for number, kind, _ in found]

    def every(self, serial: str) -> list[tuple[int, str, bool]]:
        answer = self.http.get(f"/v1/bands/{serial}/orders/all", headers=self.tracer)
        assert all(row["made_s"] == NOW for row in answer.json())
        return [(row["number"], row["kind"], row["done"]) for row in answer.json()]

    def put(self, data: bytes) -> dict[str, Any]:
        name = hashlib.sha256(data).hexdigest()
        path = f"/v1/stations/st/batches/{name}"
        return self.http.put(path, content=data, auth=self.station).json()
