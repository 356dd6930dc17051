"""What a tracing server keeps, looked at from outside: its files, byte by byte, and its rows."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from pyotp import TOTP
from sqlalchemy import Engine, event

from bandbook import BandBook, key
from office import Office
from support import ROOT
from zoneband import batch as batches
from zoneband import durable
from zoneband.server import store
from zoneband.server.accounts import Accounts, new_secret
from zoneband.server.ledger import open_ledger
from zoneband.server.roles import TRACER
from zoneband.server.tracing_server import TracingServer
from zoneband.wire import receipt, records


def server_of(office: Office) -> TracingServer:
    return office.http.app.state.server  # type: ignore[attr-defined]


def rows(path: Path) -> set[tuple[int, int, int]]:
    """Every encounter in every file there is: (observer, contact, start_s)."""
    found: set[tuple[int, int, int]] = set()
    for file in (path / "encounters").glob("day=*/*.parquet"):
        part = store.read(path / "encounters", str(file.relative_to(path / "encounters")))
        found |= set(
            zip(*(part[n].tolist() for n in ("observer", "contact", "start_s")), strict=True)
        )
    return found


def files(path: Path) -> set[str]:
    """Everything in the server's directory but the ledger's own files and caches."""
    kept = ("encounters", "batches", "sealed")
    return {str(f.relative_to(path)) for d in kept for f in (path / d).rglob("*") if f.is_file()}


def held(path: Path) -> bytes:
    """All bytes of the directory."""
    return b"".join(f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file())


def put(office: Office, data: bytes) -> Any:
    path = f"/v1/stations/st/batches/{batches.name(data)}"
    return office.http.put(path, content=data, auth=office.station)


def ids_in(data: bytes) -> set[bytes]:
    slots = b"".join(part for _cursor, part in batches.unpack(data).chunks)
    every = [slots[n : n + 32] for n in range(0, len(slots), 32)]
    return {slot[1:13] for slot in every if slot[0] == records.ENCOUNTER}


def whole_log_receipt(book: BandBook, made: dict[str, Any]) -> bool:
    buf = bytearray(32 * book.log.head)
    cursor = 0
    while cursor < book.log.head:
        part = bytearray(32 * (book.log.head - cursor))
        cursor_to = cursor + book.log.read(cursor, part)
        buf[cursor * 32 : cursor_to * 32] = part[: (cursor_to - cursor) * 32]
        cursor = cursor_to
    digest = hashlib.sha256(buf).digest()
    mac = receipt.mac(key(book.serial + "r"), book.serial, book.log.log_id, 0, cursor, digest)
    return (made["first"], made["upto"], made["mac"]) == (0, cursor, mac.hex())


def killed(work: Callable[[], object], at: int) -> bool:
    """Whether a process that does some work was killed before its step of a number: a statement, a
    file written, or a file removed."""
    child = os.fork()
    if child == 0:
        try:
            left = [at]

            def step(*_words: Any) -> None:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            event.listen(Engine, "before_cursor_execute", step)
            event.listen(Engine, "commit", step)
            unlink, write = Path.unlink, durable.write

            def removes(self: Path, missing_ok: bool = False) -> None:
                step()
                unlink(self, missing_ok)

            def writes(*words: Any, **more: Any) -> None:
                step()
                write(*words, **more)

            Path.unlink = removes  # type: ignore[method-assign]
            durable.write = writes
            work()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def zoneband(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoneband", *words, "--data", str(data)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "host"), "ZONEBAND_LANG": "en"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def as_tracer(office: Office, method: str, path: str, **values: Any) -> Any:
    """A request of somebody with the role of a tracer and no other."""
    quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    accounts = Accounts(open_ledger(office.path / "server"), utc=lambda: office.now, hasher=quick)
    secret = new_secret()
    accounts.add("lan", "bốn con mèo trên mái", secret, [TRACER])
    token = accounts.login("lan", "bốn con mèo trên mái", TOTP(secret).at(office.now), "127.0.0.1")
    headers = {"Authorization": f"Bearer {token}"}
    return office.http.request(method, path, headers=headers, **values)


def operator(office: Office, method: str, path: str, **values: Any) -> Any:
    """A request of whoever runs the server."""
    token = (office.path / "server" / "tracer-token").read_text()
    headers = {"Authorization": f"Bearer {token}"}
    return office.http.request(method, path, headers=headers, **values)
