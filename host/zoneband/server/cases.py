"""Cases: wearers that were found ill or infected, from declaration to their end.

A case is a wearer, not a band: by the number of the hand-out. While a band's log has not told who
had it, the case waits for that; where several had it since the onset, a tracer says which one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, delete, insert, select, update

from zoneband import retention
from zoneband.server import ledger, orders, swaps, wearers
from zoneband.server.audit import OPERATOR
from zoneband.server.case_codes import CaseCodes
from zoneband.server.moments import day_s, today
from zoneband.server.people import HandOut
from zoneband.server.refused import NoCase, Refused
from zoneband.server.wearers import Worn
from zoneband.wire import orders as wire

OPEN, CLOSED, WITHDRAWN = "open", "closed", "withdrawn"
STATES = (OPEN, CLOSED, WITHDRAWN)
# What is older has left the bands' logs, if they were not docked before.
LOG_DAYS = retention.DAYS
# No band is older: an earlier day is a slip of the pen.
_EARLIEST = date(2020, 1, 1)
_LONGEST_REASON = 500
# Serial of a case of which only its number and state are kept: a number must not be given twice.
DROPPED = ""

Person = Callable[[Connection, str, int], dict[str, Any] | None]


def blank(db: Connection, numbers: Iterable[int]) -> None:
    """Forget everything of some cases but their numbers and states, and the calls because of
    them."""
    for number in numbers:
        nothing = dict.fromkeys(("number", "onset", "tested", "isolated", "declared_s", "reason"))
        same = ledger.cases.c.id == number
        db.execute(update(ledger.cases).where(same).values(serial=DROPPED, **nothing))
        db.execute(delete(ledger.calls).where(ledger.calls.c.case_number == number))


class InfectiousWindow(Protocol):
    """What a rule set says of how long a case is infectious: days before and after the onset or
    the test."""

    @property
    def days_before(self) -> int: ...

    @property
    def days_after(self) -> int: ...


class Cases:
    """The cases of one ledger. Writes take turns by the server's own lock."""

    def __init__(
        self,
        engine: Engine,
        lock: AbstractContextManager[Any],
        utc: Callable[[], float],
        person: Person,
        rule: InfectiousWindow,
    ) -> None:
        """utc: Unix seconds now; person: who holds a band by a hand-out's number, None while that
        is not known; rule: the rule set that declarations are held against."""
        self._engine = engine
        self._lock = lock
        self._utc = utc
        self._person = person
        self._rule = rule
        self.codes = CaseCodes(engine, lock, utc)
        self.two_persons = False  # whether a case is traced only when somebody else confirmed it

    # --- declaring and ending ---------------------------------------------------------------

    def declare(
        self,
        serial: str,
        onset: str | None = None,
        tested: str | None = None,
        isolated: str | None = None,
        holder: int | None = None,
        *,
        code: str | None = None,
        by: str = OPERATOR,
    ) -> dict[str, Any]:
        """Declare a wearer a case, by the first day of illness or the day of the test (YYYY-MM-DD
        in Vietnam, one of them); isolated: since when the wearer meets nobody. The band is ordered
        to draw a new base key, once a case: the old one may be published.

        holder: which wearer of the band in turn, from 1; needed when several had it from that day
        on; code: of health staff (zoneband.server.case_codes); by: the account that declares. To
        repeat it is harmless, needs no code, and adds what was not known before. Answers as `get`,
        with "new". Raises Unknown and Refused."""
        day = self._check(onset, tested, isolated)
        now_s = int(self._utc())
        table = ledger.cases
        with self._lock, self._engine.begin() as db:
            role = select(ledger.bands.c.role).where(ledger.bands.c.serial == serial)
            if db.execute(role).scalar() == "venue":
                raise Refused("venue", wrong=True, serial=serial)
            number = self._choose(db, serial, day, holder)
            row = self._same(db, serial, number, onset, tested)
            if row is not None:
                known = {"number": number, "isolated": isolated}
                more = {k: v for k, v in known.items() if v is not None}
                if more:
                    db.execute(update(table).where(table.c.id == row["id"]).values(**more))
                found = int(row["id"])
            else:
                made = db.execute(
                    insert(table).values(
                        serial=serial,
                        number=number,
                        onset=onset,
                        tested=tested,
                        isolated=isolated,
                        state=OPEN,
                        declared_s=now_s,
                        declared_by=by,
                    )
                )
                assert made.inserted_primary_key is not None
                found = int(made.inserted_primary_key[0])
                self.codes.use(db, code, by, found)
                orders.add(db, serial, wire.REKEY, b"", now_s)
            return self._facts(db, self._row(db, found)) | {"new": row is None}

    def confirm(self, number: int, by: str) -> dict[str, Any]:
        """Another account than the one that declared a case says that it is one. Harmless to
        repeat. Raises NoCase and Refused."""
        with self._lock, self._engine.begin() as db:
            row = self._row(db, number)
            if row["state"] == WITHDRAWN:
                raise Refused("withdrawn", number=number, reason=row["reason"])
            if row["declared_by"] == by:
                raise Refused("confirm_own", number=number)
            if row["confirmed_by"] is None:
                db.execute(
                    update(ledger.cases)
                    .where(ledger.cases.c.id == number)
                    .values(confirmed_by=by, confirmed_s=int(self._utc()))
                )
            return self._facts(db, self._row(db, number))

    def check_confirmed(self, case: Mapping[str, Any]) -> None:
        """Whether a case (as `get` answers) may be traced. Raises Refused."""
        if self.two_persons and case["confirmed_by"] is None:
            raise Refused("unconfirmed", number=case["number"])

    def check_band(self, serial: str, by: str) -> None:
        """Whether an account may trace a band without naming a case: one of its wearers must be
        one, or codes would be for nothing; on the server's own computer only where two persons are
        asked for, and then a confirmed one. Raises Refused."""
        if by == OPERATOR and not self.two_persons:
            return
        table = ledger.cases
        of = select(table.c.id).where(table.c.serial == serial, table.c.state != WITHDRAWN)
        if self.two_persons:
            of = of.where(table.c.confirmed_by.is_not(None))
        with self._engine.connect() as db:
            known = db.execute(of.limit(1)).first()
        if known is None:
            code = "no_confirmed_case" if self.two_persons else "no_case_of"
            raise Refused(code, serial=serial)

    def close(self, number: int, reason: str) -> dict[str, Any]:
        """End a case that is over: the wearer is well again, or died. It can still be traced.
        Raises NoCase and Refused."""
        return self._end(number, CLOSED, reason)

    def withdraw(self, number: int, reason: str) -> dict[str, Any]:
        """Take a case back that never was one: it is traced no more. Raises NoCase and Refused."""
        return self._end(number, WITHDRAWN, reason)

    def _end(self, number: int, state: str, reason: str) -> dict[str, Any]:
        words = " ".join(reason.split())
        if not 1 <= len(words) <= _LONGEST_REASON:
            raise Refused("reason", wrong=True, n=_LONGEST_REASON)
        with self._lock, self._engine.begin() as db:
            row = self._row(db, number)
            if row["state"] == WITHDRAWN or (row["state"] == CLOSED and state == CLOSED):
                if row["state"] != state:
                    raise Refused("withdrawn", number=number, reason=row["reason"])
                return self._facts(db, row)
            db.execute(
                update(ledger.cases)
                .where(ledger.cases.c.id == number)
                .values(state=state, ended_s=int(self._utc()), reason=words)
            )
            return self._facts(db, self._row(db, number))

    # --- asking -----------------------------------------------------------------------------

    def list(self, state: str | None = None, serial: str | None = None) -> list[dict[str, Any]]:
        """Cases of one state or of all, of one band or of all, newest first, each as `get` answers.
        Raises Unknown for a band that is not enrolled."""
        table = ledger.cases
        found = select(table).where(table.c.serial != DROPPED).order_by(table.c.id.desc())
        if state is not None:
            found = found.where(table.c.state == state)
        with self._engine.connect() as db:
            if serial is not None:
                found = found.where(table.c.serial == serial)
                wearers.hand_outs(db, serial)  # raises Unknown
            return [self._facts(db, dict(row)) for row in db.execute(found).mappings()]

    def get(self, number: int) -> dict[str, Any]:
        """A case: number, serial, holder (which wearer in turn, null while not known), holders (how
        many the band has had so far), hand_out (the wearer's, null too), person, onset, tested,
        isolated, state, declared_s, declared_by, confirmed_s, confirmed_by, ended_s, reason, and
        notes: what a tracer must know of it, as zoneband.tracing.case_words puts into words. Raises
        NoCase."""
        with self._engine.connect() as db:
            return self._facts(db, self._row(db, number))

    def window(self, case: Mapping[str, Any], rule: InfectiousWindow) -> tuple[int, int]:
        """The infectious window of a case by a rule set, UTC seconds from and before: whole days
        in Vietnam about the onset, or the test when there was no illness; ended with the day of
        isolation and with today. Empty when isolation came before it."""
        day = date.fromisoformat(case["onset"] or case["tested"])
        last = min(day + timedelta(days=rule.days_after), today(self._utc()))
        if case["isolated"]:
            last = min(last, date.fromisoformat(case["isolated"]))
        first = day - timedelta(days=rule.days_before)
        return day_s(first), max(day_s(first), day_s(last + timedelta(days=1)))

    def tonight_s(self) -> int:
        """UTC seconds at which today ends in Vietnam."""
        return day_s(today(self._utc()) + timedelta(days=1))

    def worn(self, case: Mapping[str, Any], from_s: int, to_s: int) -> Sequence[Worn]:
        """The bands that a case's wearer had in [from_s, to_s), in order of time. Of one whose
        wearer is not known yet: the band, all the time."""
        if case["hand_out"] is None:
            return [Worn(case["serial"], from_s, to_s)] if from_s < to_s else []
        with self._engine.connect() as db:
            return wearers.worn(db, case["serial"], case["hand_out"], from_s, to_s)

    # --- parts ------------------------------------------------------------------------------

    def _check(self, onset: str | None, tested: str | None, isolated: str | None) -> date:
        if (onset is None) == (tested is None):
            raise Refused("one_date", wrong=True)
        day = date.fromisoformat(onset or tested or "")
        now = today(self._utc())
        for given in (day, date.fromisoformat(isolated) if isolated else day):
            if given > now:
                raise Refused("day_ahead", wrong=True, day=given.isoformat())
            if given < _EARLIEST:
                raise Refused("day_behind", wrong=True, day=given.isoformat())
        first = day - timedelta(days=self._rule.days_before)
        if isolated is not None and date.fromisoformat(isolated) < first:
            raise Refused("isolated_before", wrong=True, isolated=isolated, day=first.isoformat())
        return day

    def _choose(self, db: Connection, serial: str, day: date, holder: int | None) -> int | None:
        # Number of the hand-out; None while the band's log tells of none.
        turns = wearers.hand_outs(db, serial)
        if holder is not None:
            for turn in turns:
                if turn.holder == holder:
                    return turn.number
            raise Refused("no_holder", serial=serial, holder=holder, holders=len(turns))
        possible = self._possible(turns, day, None)
        if len(possible) > 1:
            choice = [self._turn(db, serial, turn) for turn in possible]
            raise Refused("choose_holder", serial=serial, day=day.isoformat(), holders=choice)
        return possible[0].number if possible else None

    def _possible(
        self, turns: Sequence[HandOut], day: date, declared_s: int | None
    ) -> Sequence[HandOut]:
        # Who had the band from that day to the declaration: whoever gets it later is no case.
        until = today(self._utc() if declared_s is None else declared_s) + timedelta(days=1)
        return [turn for turn in turns if turn.touches(day_s(day), day_s(until))]

    def _turn(self, db: Connection, serial: str, turn: HandOut) -> dict[str, Any]:
        person = self._person(db, serial, turn.number)
        return {
            "holder": turn.holder,
            "from_s": turn.from_s,
            "to_s": turn.to_s,
            "name": None if person is None else person.get("name"),
        }

    def _same(
        self, db: Connection, serial: str, number: int | None, onset: str | None, tested: str | None
    ) -> dict[str, Any] | None:
        # The open case that a declaration repeats.
        table = ledger.cases
        rows = db.execute(
            select(table).where(table.c.serial == serial, table.c.state == OPEN)
        ).mappings()
        others: list[dict[str, Any]] = []
        for row in map(dict, rows):
            mine = row["number"]
            if mine is not None and number is not None and mine != number:
                continue  # another wearer of this band
            if (row["onset"], row["tested"]) == (onset, tested):
                return row
            others.append(row)
        if others:
            other = others[0]
            values = {"number": other["id"], "day": other["onset"] or other["tested"]}
            raise Refused("case_before", serial=serial, **values)
        return None

    def _row(self, db: Connection, number: int) -> dict[str, Any]:
        table = ledger.cases
        found = select(table).where(table.c.id == number, table.c.serial != DROPPED)
        row = db.execute(found).mappings().first()
        if row is None:
            raise NoCase
        return {str(key): value for key, value in row.items()}

    def _facts(self, db: Connection, row: Mapping[str, Any]) -> dict[str, Any]:
        serial, number = row["serial"], row["number"]
        day = date.fromisoformat(row["onset"] or row["tested"])
        turns = wearers.hand_outs(db, serial)
        notes: list[dict[str, Any]] = []
        if number is None:
            possible = self._possible(turns, day, row["declared_s"])
            if len(possible) == 1:
                number = possible[0].number
            elif possible:
                choice = [self._turn(db, serial, turn) for turn in possible]
                values = {"serial": serial, "day": day.isoformat(), "holders": choice}
                notes.append({"code": "choose_holder", **values})
        if not _docked(db, serial):
            notes.append({"code": "never_docked", "serial": serial})
        if (today(self._utc()) - day).days > LOG_DAYS and row["state"] == OPEN:
            notes.append({"code": "long_ago", "day": day.isoformat(), "n": LOG_DAYS})
        if self.two_persons and row["confirmed_by"] is None and row["state"] == OPEN:
            notes.append({"code": "unconfirmed"})
        from_s, to_s = self.window(row, self._rule)
        for swap in swaps.noted(db, (serial,), from_s, to_s):
            notes.append({"code": "swapped", **swap.as_json()})
        holder = next((turn.holder for turn in turns if turn.number == number), None)
        return {
            "number": row["id"],
            "serial": serial,
            "holder": holder,
            "holders": len(turns),
            "hand_out": number,
            "person": None if number is None else self._person(db, serial, number),
            **{k: row[k] for k in ("onset", "tested", "isolated", "state")},
            **{k: row[k] for k in ("declared_s", "declared_by", "confirmed_s", "confirmed_by")},
            **{k: row[k] for k in ("ended_s", "reason")},
            "notes": notes,
        }


def _docked(db: Connection, serial: str) -> bool:
    found = select(ledger.batches.c.name).where(ledger.batches.c.serial == serial).limit(1)
    return db.execute(found).first() is not None
