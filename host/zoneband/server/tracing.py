"""What the tracing server answers to tracers: whom a case met, whom these met, who was where."""

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select

from zoneband.server import ledger, store, swaps, trace_notes
from zoneband.server.answer import Answer
from zoneband.server.ingest import DAY_S, UNPLACED_DAY, Ingest
from zoneband.server.ledger import Unknown
from zoneband.server.people import People
from zoneband.server.readers import Readers
from zoneband.server.refused import Refused
from zoneband.server.sealed import SealedRecords
from zoneband.server.swaps import Swap
from zoneband.server.visits import visits
from zoneband.server.wearings import Exchange, Part, wearings
from zoneband.tracing import attenuation, engine
from zoneband.tracing.degrees import Span
from zoneband.tracing.engine import Wearing
from zoneband.tracing.query import Pair, evidence
from zoneband.tracing.rules import DEFAULT, RuleSet

DEGREES = 3
AT_ONCE = 16  # questions; each holds one of FastAPI's 40 threads, and stations need some
Worn = tuple[str, int, int]
"""A band's serial, and from and before when (UTC seconds) somebody had it on."""


class Busy(Exception):
    """AT_ONCE questions are being answered."""


@dataclass(frozen=True)
class _Bands:
    """What a question needs of the ledger: band ids by serial, who had whose band on, and the
    offsets of boards (dB, by band id)."""

    ids: Mapping[str, int]
    swaps: Sequence[Swap]
    wearings: Sequence[Wearing]
    offsets: Mapping[int, int]


class Tracing:
    """Answers over one ledger and its segments. Calls may come from several threads."""

    def __init__(
        self,
        database: Engine,
        encounters: Path,
        ingest: Ingest,
        sealed: SealedRecords,
        rule_sets: Mapping[str, RuleSet],
        lock: AbstractContextManager[Any],
        utc: Callable[[], float],
        readers: Readers,
        default_engine: str = engine.DUCKDB,
    ) -> None:
        """encounters: the segments' directory; rule_sets: by name; lock: by which writes take
        turns; utc: Unix seconds now; readers: who keeps files from being removed; default_engine:
        as engine.checked takes it."""
        self._engine = database
        self._encounters = encounters
        self._work = ingest
        self._sealed = sealed
        self._rules = rule_sets
        self._lock = lock
        self._utc = utc
        self._readers = readers
        self._default = default_engine
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def rule(self, name: str) -> RuleSet:
        """A rule set by its name. Raises Refused."""
        rule = self._rules.get(name)
        if rule is None:
            raise Refused("no_rules", wrong=True, name=name, names=sorted(self._rules))
        return rule

    def trace(
        self,
        serial: str,
        from_s: int,
        to_s: int,
        rules: str = DEFAULT,
        degrees: int = 1,
        until_s: int | None = None,
        worn: Sequence[Worn] | None = None,
        asked: str | None = None,
    ) -> dict[str, Any]:
        """Every contact of a band's wearer in [from_s, to_s) with its evidence; up to some degree
        (1 to 3), also whom these met: of degree 2 and 3 those who must be called, exposed to the
        band before theirs in "path".

        until_s: to when contacts of contacts are looked for, to_s unless given; worn: which bands
        the wearer had on, that band all the time unless given; asked: the engine, the server's own
        unless given. "notes" tell what the answer lacks, as zoneband.tracing.words puts into words.
        Raises Unknown and Refused."""
        rule = self.rule(rules)
        if not 1 <= degrees <= DEGREES:
            raise ValueError("degrees are 1 to 3")
        end_s = max(to_s, until_s or to_s) if degrees > 1 else to_s
        self._resolve(serial, from_s, end_s)
        with self._readers.reading(), self._engine.connect() as db:
            bands = self._bands(db, serial, from_s, end_s, worn)
            case = Span(0, bands.ids[serial], from_s, to_s)
            files = self._files(db, from_s, end_s)
            with self._opened(files, bands.wearings, asked) as (session, bad):
                answer = Answer(db, session, rule, bands.offsets, case)
                found = answer.first()
                if degrees > 1:
                    found += answer.further(found, degrees, end_s)
            self._name(db, answer.people, found)
            serials = {serial, *(contact["serial"] for contact in found)}
            notes = [
                *self._log_notes(db, answer.people, serial, from_s, to_s, worn),
                *trace_notes.segment_notes(bad),
                *trace_notes.swap_notes(bands.swaps, serials, from_s, end_s),
                *trace_notes.name_notes(db, self._sealed),
            ]
        return {
            "case": serial,
            "from_s": from_s,
            "to_s": to_s,
            "rule": rule.as_json(),
            "contacts": found,
            "notes": notes,
        }

    def visits(
        self,
        venue: str,
        from_s: int,
        to_s: int,
        case: str | None = None,
        worn: Sequence[Worn] | None = None,
    ) -> dict[str, Any]:
        """Who was at a venue beacon in [from_s, to_s), from when to when; with a case, whose band
        is given by its serial, the minutes that each was there together with it, most first. worn:
        as in `trace`. Raises Unknown and Refused."""
        self._resolve(venue, from_s, to_s)
        with self._readers.reading(), self._engine.connect() as db:
            bands = self._bands(db, case or venue, from_s, to_s, worn)
            place = _id(db, venue)
            people = People(db, {place})
            if people.role[place] != "venue":
                raise Refused("not_venue", wrong=True, serial=venue)
            files = self._files(db, from_s, to_s)
            with self._opened(files, bands.wearings) as (session, bad):
                rows = evidence(session, [Pair(place, -1, from_s, to_s)])[0]
            there = {row.contact if row.observer == place else row.observer for row in rows}
            people.learn(there)
            with_case = bands.ids[case] if case else None
            found = visits(rows, place, people, from_s, to_s, with_case, bands.offsets)
            self._name(db, people, found)
            serials = {visitor["serial"] for visitor in found}
            notes = [
                *trace_notes.log_notes(db, people, place, from_s, to_s, int(self._utc())),
                *trace_notes.segment_notes(bad),
                *trace_notes.swap_notes(bands.swaps, serials, from_s, to_s),
                *trace_notes.name_notes(db, self._sealed),
            ]
        return {
            "venue": venue,
            "from_s": from_s,
            "to_s": to_s,
            "case": case,
            "visitors": found,
            "notes": notes,
        }

    # --- parts ------------------------------------------------------------------------------

    @contextmanager
    def _opened(
        self, files: Sequence[Path], worn: Sequence[Wearing], asked: str | None = None
    ) -> Generator[tuple[engine.Session, list[engine.Bad]]]:
        # Where a tracer may send the server to ask is not for the tracer to choose.
        own = engine.shown(self._default)
        name = self._default if asked in (None, own) else asked
        if name not in (self._default, engine.DUCKDB):
            raise Refused("engine_other", wrong=True, engine=engine.shown(name), own=own)
        if not self._turns.acquire(blocking=False):
            raise Busy
        try:
            with engine.opened(files, store.damaged, worn, name) as opened:
                yield opened
        except engine.Fault as error:
            raise Refused(error.code, wrong=error.wrong, **error.values) from error
        finally:
            self._turns.release()

    def _resolve(self, serial: str, from_s: int, to_s: int) -> None:
        # IDs that were nobody's are held against the chains that have come since.
        first, last = _days(from_s, to_s)
        with self._engine.connect() as db:
            _id(db, serial)
            stale = self._work.stale(db, first, last)
        if stale:
            with self._lock, self._engine.begin() as db:
                self._work.resolve_again(db, first, last, int(self._utc()) // DAY_S)

    def _files(self, db: Connection, from_s: int, to_s: int) -> list[Path]:
        first, last = _days(from_s, to_s)
        paths = db.execute(
            select(ledger.segments.c.path)
            .where(
                ledger.segments.c.day.between(first, last),
                ledger.segments.c.day != UNPLACED_DAY,  # what no clock point places was at no time
            )
            .order_by(ledger.segments.c.path)
        ).scalars()
        return [self._encounters / path for path in paths]

    def _bands(
        self, db: Connection, serial: str, from_s: int, to_s: int, worn: Sequence[Worn] | None
    ) -> _Bands:
        case = _id(db, serial)
        ids = {serial: case}
        found = swaps.noted(db, None, from_s, to_s)
        exchanges: list[Exchange] = []
        for swap in found:
            a, b = (ids.setdefault(name, _id(db, name)) for name in (swap.a, swap.b))
            exchanges.append(Exchange(a, b, swap.from_s, swap.to_s))
        parts = None
        if worn is not None and [tuple(each) for each in worn] != [(serial, from_s, to_s)]:
            parts = [
                Part(ids.setdefault(name, _id(db, name)), begin_s, end_s)
                for name, begin_s, end_s in worn
            ]
        boards = attenuation.board_offsets()
        table = ledger.bands
        measured = select(table.c.id, table.c.board).where(table.c.board.in_(boards))
        offsets = {row.id: boards[row.board] for row in db.execute(measured)}
        return _Bands(ids, found, wearings(exchanges, case, parts), offsets)

    def _name(self, db: Connection, people: People, found: Sequence[dict[str, Any]]) -> None:
        # Adds the persons, as far as they are known and the authority's key is in memory. Whose
        # band's own log has not told yet who had it is named by the hand-out, when there was only
        # one: a call must not wait for a band to be docked.
        numbers = [people.number(each["serial"], each["holder"]) for each in found]
        hand_outs = [(each["serial"], at) for each, at in zip(found, numbers, strict=True)]
        persons = self._sealed.persons(db, hand_outs)
        unnamed: list[dict[str, Any]] = []
        for each, hand_out in zip(found, hand_outs, strict=True):
            each["person"] = persons.get(hand_out)
            if each["person"] is None and not each["holder"] and each["role"] != "venue":
                unnamed.append(each)
        everybody = self._sealed.people(db, {each["serial"] for each in unnamed})
        for each in unnamed:
            if len(handed := everybody.get(each["serial"], [])) == 1:
                each["person"] = handed[0]
                if "why" in each:
                    each["why"].append({"code": "by_hand_out"})

    def _log_notes(
        self,
        db: Connection,
        people: People,
        serial: str,
        from_s: int,
        to_s: int,
        worn: Sequence[Worn] | None,
    ) -> list[dict[str, Any]]:
        # Of every band that the case's wearer had on.
        notes: list[dict[str, Any]] = []
        numbers: list[int] = []
        for name, begin_s, end_s in worn if worn is not None else [(serial, from_s, to_s)]:
            band = _id(db, name)
            people.learn({band})
            begin_s, end_s = max(begin_s, from_s), min(end_s, to_s)
            if begin_s >= end_s:
                continue
            notes += trace_notes.log_notes(db, people, band, begin_s, end_s, int(self._utc()))
            if name == serial:
                numbers += [
                    turn.number for turn in people.hand_outs(serial) if turn.touches(begin_s, end_s)
                ]
        return notes + trace_notes.case_notes(db, serial, numbers)


def _id(db: Connection, serial: str) -> int:
    found = db.execute(select(ledger.bands.c.id).where(ledger.bands.c.serial == serial)).scalar()
    if found is None:
        raise Unknown
    return int(found)


def _days(from_s: int, to_s: int) -> tuple[int, int]:
    # An encounter that begins before midnight may last beyond it.
    return from_s // DAY_S - 1, to_s // DAY_S
