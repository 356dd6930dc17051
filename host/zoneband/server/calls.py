"""Calls to a case's contacts: each one is kept, the last of each contact counts."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Engine, insert, select

from zoneband.server import ledger

TO_CALL = "to_call"
NO_ANSWER = "no_answer"
CALL_BACK = "call_back"
REACHED = "reached"
WRONG_NUMBER = "wrong_number"
STATES = (TO_CALL, NO_ANSWER, CALL_BACK, REACHED, WRONG_NUMBER)


class Calls:
    """The calls of one ledger. Calls of these functions may come from several threads."""

    def __init__(
        self,
        engine: Engine,
        lock: AbstractContextManager[Any] | None = None,
        utc: Callable[[], float] = time.time,
    ) -> None:
        """utc: Unix seconds now."""
        self._engine = engine
        self._lock = lock or threading.RLock()
        self._utc = utc

    def note(self, case: int, serial: str, holder: int, state: str, tracer: str) -> None:
        """What came of a call to a contact of a case (its number). holder: which wearer of the band
        in turn; state: one of STATES, else ValueError; tracer: who called."""
        if state not in STATES:
            raise ValueError(f"no state of a call: {state}")
        row = insert(ledger.calls).values(
            case_number=case,
            serial=serial,
            holder=holder,
            state=state,
            tracer=tracer,
            at_s=int(self._utc()),
        )
        with self._lock, self._engine.begin() as db:
            db.execute(row)

    def last(self, case: int) -> dict[tuple[str, int], dict[str, Any]]:
        """The last call to each contact of a case: (serial, holder) to state, tracer, at_s (UTC)
        and tries, how many were noted."""
        table = ledger.calls
        found: dict[tuple[str, int], dict[str, Any]] = {}
        with self._engine.connect() as db:
            rows = db.execute(
                select(table).where(table.c.case_number == case).order_by(table.c.id)
            ).mappings()
            for row in rows:
                who = row["serial"], row["holder"]
                tries = found[who]["tries"] + 1 if who in found else 1
                found[who] = {
                    "state": row["state"],
                    "tracer": row["tracer"],
                    "at_s": row["at_s"],
                    "tries": tries,
                }
        return found
