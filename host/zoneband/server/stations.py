"""Stations that the server knows: the one-time codes that let them in, and their public keys."""

import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, update

from zoneband import signing
from zoneband.server import groups, ledger
from zoneband.server.groups import Groups

NAME_PATTERN = r"^[^/\x00-\x1f]{1,64}$"
VALID_S = 48 * 3600
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: none is taken for another
_LETTERS_OF_CODE = 20  # 100 bits
_READ_AS = str.maketrans("OIL", "011")
_BY_KEY = select(ledger.stations).where(ledger.stations.c.key_id == bindparam("key_id"))


class WrongCode(Exception):
    """A code that lets nobody in. reason: code (unknown), code-used, code-expired,
    code-name (it is for another one) or code-key (the key is revoked, or another station's)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownStation(Exception):
    """No station has this name."""


@dataclass(frozen=True)
class Known:
    """A station by its key (Ed25519, 32 bytes)."""

    name: str
    public_key: bytes
    revoked: bool


class Stations:
    """The stations in a ledger."""

    def __init__(
        self,
        engine: Engine,
        lock: AbstractContextManager[Any],
        utc: Callable[[], float],
        of_groups: Groups,
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._utc = utc
        self._groups = of_groups

    def invite(
        self, name: str, group_names: Sequence[str] | None = None, valid_s: int = VALID_S
    ) -> str:
        """A code with which one station may come, once, within valid_s; an earlier one of that name
        ends. group_names: the groups it will serve; None: those it served, or `default`. Raises
        ValueError for a name that is none, groups.UnknownGroup."""
        if not re.match(NAME_PATTERN, name):
            raise ValueError("no name of a station")
        for group in group_names or ():
            self._groups.keys_of(group)
        letters = "".join(secrets.choice(_LETTERS) for _n in range(_LETTERS_OF_CODE))
        now_s = int(self._utc())
        table = ledger.station_codes
        with self._lock, self._engine.begin() as db:
            over = (table.c.station == name) & table.c.used_key_id.is_(None)
            db.execute(delete(table).where(over))
            # Those that are over stay for a while, so that a station can be told what is wrong.
            db.execute(delete(table).where(table.c.expires_s < now_s - 30 * 86400))
            db.execute(
                insert(table).values(
                    code_sha256=_digest(letters),
                    station=name,
                    group_names=json.dumps(list(group_names) if group_names else None),
                    expires_s=now_s + valid_s,
                )
            )
        return "-".join(letters[at : at + 5] for at in range(0, len(letters), 5))

    def enrol(self, code: str, public_key: bytes, name: str | None = None) -> str:
        """Take a station in with its code: its name. A key that it had before ends. name: what it
        thinks it is. The same key may repeat its code, since the answer may have been lost. Raises
        WrongCode, groups.UnknownGroup."""
        used = signing.key_id(public_key)
        now_s = int(self._utc())
        codes, table = ledger.station_codes, ledger.stations
        with self._lock:
            with self._engine.begin() as db:
                row = db.execute(select(codes).where(codes.c.code_sha256 == _digest(code))).first()
                if row is None:
                    raise WrongCode("code")
                if name is not None and name != row.station:
                    raise WrongCode("code-name")
                if row.used_key_id is not None:
                    found = _by_key(db, used)
                    if row.used_key_id != used or found is None or found.revoked:
                        raise WrongCode("code-used")
                    return row.station
                if row.expires_s <= now_s:
                    raise WrongCode("code-expired")
                found = _by_key(db, used)
                if found is not None and (found.revoked or found.name != row.station):
                    raise WrongCode("code-key")
                db.execute(
                    update(codes)
                    .where(codes.c.code_sha256 == row.code_sha256)
                    .values(used_key_id=used)
                )
                values = {
                    "key_id": used,
                    "public_key": public_key,
                    "enrolled_s": now_s,
                    "revoked_s": None,
                }
                of_name = table.c.name == row.station
                if not db.execute(update(table).where(of_name).values(values)).rowcount:
                    db.execute(insert(table).values(name=row.station, **values))
            wanted = json.loads(row.group_names)
            if wanted is not None or not self._groups.has(row.station):
                self._groups.assign(row.station, wanted or [groups.DEFAULT])
        return row.station

    def by_key(self, key_id: str) -> Known | None:
        """The station of a key."""
        with self._engine.connect() as db:
            return _by_key(db, key_id)

    def every(self) -> list[dict[str, Any]]:
        """All stations by name: name, state (enrolled, invited, revoked or old), groups,
        enrolled_s, seen_s of the newest batch, and code_expires_s of a code that nobody used."""
        now_s = int(self._utc())
        codes, batches = ledger.station_codes, ledger.batches
        with self._engine.connect() as db:
            open_codes = select(codes.c.station, codes.c.expires_s).where(
                codes.c.used_key_id.is_(None), codes.c.expires_s > now_s
            )
            waiting = {row.station: row.expires_s for row in db.execute(open_codes)}
            newest = select(batches.c.station, func.max(batches.c.came_s)).group_by(
                batches.c.station
            )
            seen = {row[0]: row[1] for row in db.execute(newest)}
            known = {row.name: row for row in db.execute(select(ledger.stations))}
        out: list[dict[str, Any]] = []
        for name in sorted({*known, *waiting}):
            row = known.get(name)
            if row is None:
                state = "invited"
            elif row.revoked_s is not None:
                state = "revoked"
            else:
                state = "old" if row.key_id is None else "enrolled"
            serves = dict.fromkeys(key["name"] for key in self._groups.of_station(name))
            out.append(
                {
                    "name": name,
                    "state": state,
                    "groups": list(serves),
                    "enrolled_s": row.enrolled_s if row else None,
                    "seen_s": seen.get(name),
                    "code_expires_s": waiting.get(name),
                }
            )
        return out

    def revoke(self, name: str) -> None:
        """Let a station in no more, until it comes with a new code; one that it has ends. Raises
        UnknownStation when there is neither a station nor a code of this name."""
        table, codes = ledger.stations, ledger.station_codes
        with self._lock, self._engine.begin() as db:
            unused = (codes.c.station == name) & codes.c.used_key_id.is_(None)
            gone = db.execute(delete(codes).where(unused)).rowcount
            gone += db.execute(
                update(table).where(table.c.name == name).values(revoked_s=int(self._utc()))
            ).rowcount
            if not gone:
                raise UnknownStation(name)


def open_stations(directory: Path) -> Stations:
    """The stations of a server's directory, beside a server that may run."""
    engine, lock = ledger.open_ledger(directory), threading.RLock()
    return Stations(engine, lock, time.time, Groups(engine, lock, time.time))


def _by_key(db: Connection, key_id: str) -> Known | None:
    row = db.execute(_BY_KEY, {"key_id": key_id}).first()
    return None if row is None else Known(row.name, row.public_key, row.revoked_s is not None)


def _digest(code: str) -> str:
    # As people may type it: in small letters, without its strokes, O for 0.
    letters = re.sub(r"[\s-]", "", code).upper().translate(_READ_AS)
    return hashlib.sha256(letters.encode()).hexdigest()
