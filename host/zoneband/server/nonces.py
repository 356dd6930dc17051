"""What stations have signed is taken once: the nonces of the last days, in the ledger.

A nonce costs no write of its own where a request writes anyway: it waits in memory, and whoever
writes next writes all that wait. A request is answered only when its nonce is durable."""

import hashlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, insert, select

from zoneband.server import ledger

# How far a station's clock may be from the server's; a nonce is remembered as long.
WINDOW_S = 48 * 3600
_SWEEP_S = 600
_AT_ONCE = 500  # less than any database's most parameters
_KNOWN = select(ledger.station_nonces.c.mark).where(
    ledger.station_nonces.c.mark == bindparam("mark")
)


class Nonces:
    """The nonces in a ledger. Calls may come from several threads."""

    def __init__(
        self, engine: Engine, lock: AbstractContextManager[Any], utc: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._utc = utc
        self._mine = threading.Lock()
        self._waiting: dict[bytes, int] = {}  # mark: created_s
        self._asked: set[bytes] = set()  # marks that are looked for in the ledger just now
        self._swept_s = 0

    def take(self, key_id: str, nonce: str, created_s: int) -> bytes | None:
        """A mark to `settle`; None when this key has used this nonce before. created_s: when it was
        signed, Unix seconds, at most WINDOW_S from now."""
        mark = hashlib.sha256(f"{key_id} {nonce}".encode()).digest()[:16]
        with self._mine:
            if mark in self._waiting or mark in self._asked:
                return None
            self._asked.add(mark)
        known = True
        try:
            with self._engine.connect() as db:
                known = db.execute(_KNOWN, {"mark": mark}).first() is not None
        finally:
            with self._mine:
                # Only now: whoever writes takes along all that wait, and it would be found.
                self._asked.discard(mark)
                if not known:
                    self._waiting[mark] = created_s
        return None if known else mark

    def settle(self, mark: bytes) -> None:
        """Return when a nonce is durable."""
        if mark not in self._waiting:
            return
        with self._lock:
            if mark not in self._waiting:
                return  # somebody else's write took it along
            with self._engine.begin() as db:
                taken = self.write(db)
            self.written(taken)

    def write(self, db: Connection) -> list[bytes]:
        """Write all that wait, in a transaction of the caller's who has the server's lock: what to
        say to `written` when that is durable."""
        table = ledger.station_nonces
        with self._mine:
            waiting = list(self._waiting.items())
        rows = [{"mark": mark, "created_s": at_s} for mark, at_s in waiting]
        for at in range(0, len(rows), _AT_ONCE):
            # A write of before may have come through although it said that it had not.
            some = rows[at : at + _AT_ONCE]
            asked = select(table.c.mark).where(table.c.mark.in_([row["mark"] for row in some]))
            known = {bytes(mark) for mark in db.execute(asked).scalars()}
            if new := [row for row in some if row["mark"] not in known]:
                db.execute(insert(table), new)
        now_s = int(self._utc())
        if not 0 <= now_s - self._swept_s < _SWEEP_S:
            self._swept_s = now_s
            db.execute(delete(table).where(table.c.created_s < now_s - WINDOW_S))
        return [mark for mark, _at_s in waiting]

    def written(self, marks: list[bytes]) -> None:
        """These are durable."""
        self._forget(marks)

    def _forget(self, marks: list[bytes]) -> None:
        with self._mine:
            for mark in marks:
                self._waiting.pop(mark, None)
