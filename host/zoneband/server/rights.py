"""The register of what persons ask for by Law 91/2025/QH15 (in force since 1 January 2026):
consent, its withdrawal, deletion, access and the other rights; when each came, and by when it is
due.

An answer is due within 2 working days, and what was asked for done within 15 days of its coming
(calendar days, in Vietnam). The law allows 20 days when a processor is involved and one extension,
with reasons; this register reckons with neither: whoever needs them answers the person so in time.

From a withdrawal or a request for deletion on, nothing new of that wearer is kept: what their band
and others heard of it is refused and receipted, and the stations ask the band back. Consent that is
given again ends that.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from zoneband.server import erase_plan, ledger, wearers
from zoneband.server.erasing import Erasing
from zoneband.server.moments import day_s, today
from zoneband.server.refused import Refused
from zoneband.server.working_days import WorkingDays

CONSENT, WITHDRAWAL, DELETION = "consent", "withdrawal", "deletion"
ACCESS, CORRECTION, RESTRICTION, OBJECTION = "access", "correction", "restriction", "objection"
KINDS = (CONSENT, WITHDRAWAL, DELETION, ACCESS, CORRECTION, RESTRICTION, OBJECTION)
STOPPING = (WITHDRAWAL, DELETION)
ANSWER_WORKING_DAYS = 2
DONE_DAYS = 15


class Rights:
    """The register in one ledger. Writes take turns by the server's own lock."""

    def __init__(
        self,
        engine: Engine,
        lock: AbstractContextManager[Any],
        utc: Callable[[], float],
        days: Callable[[], WorkingDays],
        erasing: Erasing,
    ) -> None:
        """utc: Unix seconds now; days: which are worked, read anew for each request."""
        self._engine = engine
        self._lock = lock
        self._utc = utc
        self._days = days
        self._erasing = erasing

    def add(
        self, kind: str, serial: str, holder: int | None = None, came_s: int | None = None
    ) -> dict[str, Any]:
        """Record what a band's wearer asked for or gave, one of KINDS; holder: which wearer in
        turn, needed when several had the band; came_s: when it came (UTC seconds), now unless
        given. Answers as `get`. Raises Unknown, Refused, ValueError and UserError."""
        if kind not in KINDS:
            raise ValueError(f"no right: {kind}")
        now_s = int(self._utc())
        came_s = now_s if came_s is None else came_s
        if came_s > now_s:
            raise Refused("erase_ahead", wrong=True, from_s=came_s)
        day = today(came_s)
        answer_by = self._days().after(day, ANSWER_WORKING_DAYS)
        given = kind == CONSENT
        with self._lock, self._engine.begin() as db:
            turns = wearers.hand_outs(db, serial)
            number = erase_plan.choose(db, serial, turns, holder) or 0
            made = db.execute(
                insert(ledger.rights).values(
                    kind=kind,
                    serial=serial,
                    number=number,
                    came_s=came_s,
                    answer_by_s=day_s(answer_by + timedelta(days=1)),
                    done_by_s=day_s(day + timedelta(days=DONE_DAYS + 1)),
                    # Whoever gives consent waits for nothing.
                    answered_s=came_s if given else None,
                    done_s=came_s if given else None,
                )
            )
            assert made.inserted_primary_key is not None
            found = int(made.inserted_primary_key[0])
            if kind in STOPPING:
                _stop(db, found, serial, number, came_s)
            elif given:
                _go_on(db, serial, number, came_s)
            return self._facts(db, _row(db, found))

    def every(self, all_: bool = False) -> list[dict[str, Any]]:
        """What is to be answered or done, or all there ever was, each as `get`: what is overdue
        first, then by when it is due next."""
        table = ledger.rights
        found = select(table)
        if not all_:
            found = found.where(table.c.done_s.is_(None))
        with self._engine.connect() as db:
            every = [self._facts(db, dict(row)) for row in db.execute(found).mappings()]
        return sorted(every, key=lambda each: (each["due_s"] is None, each["due_s"], each["id"]))

    def get(self, number: int) -> dict[str, Any]:
        """One of them: id, kind, serial, hand_out, came_s, answer_by_s, answered_s, done_by_s,
        done_s (UTC seconds), due_s (what is due next; None: nothing), overdue, erasure (its id) and
        ask_back (whether the band must still be taken back). Raises Refused."""
        with self._engine.connect() as db:
            return self._facts(db, _row(db, number))

    def answer(self, number: int) -> dict[str, Any]:
        """The person has an answer. Harmless to repeat. Raises Refused."""
        with self._lock, self._engine.begin() as db:
            row = _row(db, number)
            if row["answered_s"] is None:
                _set(db, number, answered_s=int(self._utc()))
            return self._facts(db, _row(db, number))

    def done(self, number: int) -> dict[str, Any]:
        """What was asked for is done: a deletion is carried out now, and its answer has "erased".
        Harmless to repeat. Raises Refused."""
        with self._engine.connect() as db:
            row = _row(db, number)
            turns = wearers.hand_outs(db, row["serial"])
        erased = None
        if row["kind"] == DELETION and row["done_s"] is None:
            holder = next((t.holder for t in turns if t.number == row["number"]), None)
            erased = self._erasing.erase(row["serial"], holder)
        with self._lock, self._engine.begin() as db:
            now_s = int(self._utc())
            if erased is not None:
                _set(db, number, erasure=erased["id"])
            if row["answered_s"] is None:
                _set(db, number, answered_s=now_s)
            if row["done_s"] is None:
                _set(db, number, done_s=now_s)
            facts = self._facts(db, _row(db, number))
        return facts if erased is None else facts | {"erased": erased["erased"]}

    # --- parts ------------------------------------------------------------------------------

    def _facts(self, db: Connection, row: dict[str, Any]) -> dict[str, Any]:
        open_ = (("answered_s", "answer_by_s"), ("done_s", "done_by_s"))
        due_s = min((row[by] for done, by in open_ if row[done] is None), default=None)
        return {
            "id": row["id"],
            "kind": row["kind"],
            "serial": row["serial"],
            "hand_out": row["number"] or None,
            **{name: row[name] for pair in open_ for name in pair},
            "came_s": row["came_s"],
            "due_s": due_s,
            "overdue": due_s is not None and due_s <= self._utc(),
            "erasure": row["erasure"],
            "ask_back": row["kind"] in STOPPING and _stopped(db, row["serial"]) == row["number"],
        }


def _row(db: Connection, number: int) -> dict[str, Any]:
    row = db.execute(select(ledger.rights).where(ledger.rights.c.id == number)).mappings().first()
    if row is None:
        raise Refused("no_right", number=number)
    return {str(key): value for key, value in row.items()}


def _set(db: Connection, number: int, **values: Any) -> None:
    db.execute(update(ledger.rights).where(ledger.rights.c.id == number).values(**values))


# --- no further processing ------------------------------------------------------------------


def _name(number: int) -> str:
    return f"right {number}"


def _stop(db: Connection, right: int, serial: str, number: int, from_s: int) -> None:
    for band, hand_out in wearers.same_wearer(db, serial, number):
        row = {"serial": band, "from_s": from_s, "to_s": None, "number": hand_out}
        db.execute(insert(ledger.erased_spans).values(erasure=_name(right), **row))


def _go_on(db: Connection, serial: str, number: int, to_s: int) -> None:
    table, rights = ledger.erased_spans, ledger.rights
    for band, hand_out in wearers.same_wearer(db, serial, number):
        mine = (table.c.serial == band) & (table.c.number == hand_out) & table.c.to_s.is_(None)
        names = [
            _name(row.id)
            for row in db.execute(select(rights.c.id).where(rights.c.kind.in_(STOPPING)))
        ]
        db.execute(update(table).where(mine, table.c.erasure.in_(names)).values(to_s=to_s))


def ask_back(db: Connection, serial: str) -> bool:
    """Whether a band's wearer has withdrawn, and the band is still with them."""
    return _stopped(db, serial) is not None


def _stopped(db: Connection, serial: str) -> int | None:
    # Number of the hand-out whose wearer withdrew, while the band is with them.
    table, rights = ledger.erased_spans, ledger.rights
    rows = db.execute(
        select(rights.c.id, rights.c.number).where(
            rights.c.serial == serial, rights.c.kind.in_(STOPPING)
        )
    ).all()
    for row in rows:
        stops = select(table.c.id).where(
            table.c.erasure == _name(row.id), table.c.serial == serial, table.c.to_s.is_(None)
        )
        if db.execute(stops).first() is None:
            continue
        if wearers.gave_up_s(db, serial, row.number) is None:
            return row.number
    return None
