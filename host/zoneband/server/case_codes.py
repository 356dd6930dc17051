"""Codes that health staff give with a finding: one lets a tracer declare one case.

A code is 50 bits, is good once and for a day, and is kept as its SHA-256 only.
"""

import hashlib
import math
import re
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from zoneband.server import ledger
from zoneband.server.limits import Buckets
from zoneband.server.refused import Refused

VALID_S = 24 * 3600
_KEPT_S = 30 * 86_400  # so that somebody who comes too late is told so
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: none is taken for another
_LETTERS_OF_CODE = 10
_READ_AS = str.maketrans("OIL", "011")
# Tries of one account: a morning's cases at once, and no guessing.
_TRIES_PER_S, _TRIES_BURST = 0.2, 60


class CaseCodes:
    """The codes of one ledger. Writes take turns by the server's own lock."""

    def __init__(
        self, engine: Engine, lock: AbstractContextManager[Any], utc: Callable[[], float]
    ) -> None:
        """utc: Unix seconds now."""
        self._engine = engine
        self._lock = lock
        self._utc = utc
        self._tries = Buckets(_TRIES_PER_S, _TRIES_BURST)

    def give(self, by: str, valid_s: int = VALID_S) -> tuple[str, int]:
        """A new code, and UTC seconds at which it ends. by: the account that gives it."""
        letters = "".join(secrets.choice(_LETTERS) for _n in range(_LETTERS_OF_CODE))
        now_s = int(self._utc())
        table = ledger.case_codes
        with self._lock, self._engine.begin() as db:
            db.execute(delete(table).where(table.c.expires_s < now_s - _KEPT_S))
            db.execute(
                insert(table).values(
                    code_sha256=_digest(letters),
                    given_by=by,
                    given_s=now_s,
                    expires_s=now_s + valid_s,
                )
            )
        return f"{letters[:5]}-{letters[5:]}", now_s + valid_s

    def use(self, db: Connection, code: str | None, by: str, case: int) -> None:
        """Use a code up for a case, in the caller's transaction. by: the account that declares it.
        Raises Refused."""
        if code is None or not code.strip():
            raise Refused("code_missing", wrong=True)
        wait_s = self._tries.take(by)
        if wait_s:
            raise Refused("code_tries", n=math.ceil(wait_s))
        table = ledger.case_codes
        mine = table.c.code_sha256 == _digest(code)
        row = db.execute(select(table).where(mine)).first()
        if row is None:
            raise Refused("code_wrong", wrong=True)
        if row.case_number is not None:
            raise Refused("code_used", wrong=True)
        if row.expires_s <= int(self._utc()):
            raise Refused("code_expired", wrong=True)
        once = update(table).where(mine, table.c.case_number.is_(None))
        if not db.execute(once.values(case_number=case)).rowcount:
            raise Refused("code_used", wrong=True)


def _digest(code: str) -> str:
    # As people may type it: in small letters, without its stroke, O for 0.
    letters = re.sub(r"[\s-]", "", code).upper().translate(_READ_AS)
    return hashlib.sha256(letters.encode()).hexdigest()
