"""Erases wearers from the server: their encounters on both sides, the batches that held these,
their records, and what else tells of them.

In this order, so that a kill at any point is finished by the next start:

1. The erasure goes into its list (zoneband.server.erasures), on the disk.
2. The ledger knows it: from then on nothing of it is taken any more, whoever brings it.
3. Segments without those rows are written, synced and renamed; then, in one transaction, they take
   the place of the old ones, and the ledger forgets the rest.
4. Slots are cut out of the batches' files, and files that nothing names are removed, once no query
   reads them. Then the erasure is done.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from sqlalchemy import Connection, Engine, delete, insert, select, update

from zoneband.server import (
    cases,
    database,
    erase_marks,
    erase_plan,
    gone,
    ledger,
    store,
    unwanted,
    wearers,
)
from zoneband.server.erasures import Erasure, Erasures, Part
from zoneband.server.gone import Cutter
from zoneband.server.ingest import Ingest
from zoneband.server.retention import Retention
from zoneband.server.sealed import SealedRecords
from zoneband.server.unwanted import Unwanted

_KINDS: tuple[str, ...] = (
    "encounters_own", "encounters_of_others", "segments", "batches", "records", "marks", "swaps",
    "cases", "calls", "damaged",
)  # fmt: skip
_WORKERS = 2  # segments in memory at a time


class NotGone(Exception):
    """Something that was erased is still there."""


class Erasing:
    """The erasures of one server. Calls take turns by the server's own lock."""

    def __init__(
        self,
        engine: Engine,
        encounters: Path,
        lock: AbstractContextManager[Any],
        utc: Callable[[], float],
        work: Ingest,
        sealed: SealedRecords,
        cutter: Cutter,
        retention: Retention,
        lists: Erasures,
    ) -> None:
        """encounters: the segments' directory; utc: Unix seconds now; retention: removes the files
        that nothing names."""
        self._engine = engine
        self._encounters = encounters
        self._lock = lock
        self._utc = utc
        self._work = work
        self._sealed = sealed
        self._cutter = cutter
        self._retention = retention
        self._lists = lists
        self._one = threading.Lock()

    def erase(
        self,
        serial: str,
        holder: int | None = None,
        from_s: int | None = None,
        to_s: int | None = None,
    ) -> dict[str, Any]:
        """Erase a band's wearer, or with from_s and to_s (UTC seconds) what is of that time alone;
        holder: which wearer in turn. Answers the erasure's id, made_s, bands, days (whether only
        those), and how much was erased by kind; "damaged" are segments that cannot be read, which
        go with their days. Everything of it is gone when this returns. Raises Unknown, Refused and
        NotGone."""
        with self._one:
            with self._engine.connect() as db:
                made = erase_plan.plan(db, serial, holder, from_s, to_s, int(self._utc()))
            self._lists.add([made])
            return self._run(made)

    def replay(self, some: Iterable[Erasure]) -> list[dict[str, Any]]:
        """Erase again what a list says, such as one that was kept elsewhere; what this ledger has
        done already is left out. Answers each as `erase`."""
        with self._one:
            self._lists.add(some)
            return self._catch_up()

    def catch_up(self) -> list[dict[str, Any]]:
        """Erase what is in a copy of the list and not done in this ledger: after a kill, or when a
        backup was restored."""
        with self._one:
            if self._undone():
                self._lists.add([])  # every copy gets what another has
            return self._catch_up()

    def every(self) -> list[dict[str, Any]]:
        """All erasures of this ledger, oldest first, as `erase` answers."""
        table = ledger.erasures
        with self._engine.connect() as db:
            rows = db.execute(select(table).order_by(table.c.made_s, table.c.id)).all()
        return [_told(row.entry, row.counts, row.done_s) for row in rows]

    # --- steps ------------------------------------------------------------------------------

    def _undone(self) -> list[Erasure]:
        table = ledger.erasures
        with self._engine.connect() as db:
            done = set(db.execute(select(table.c.id).where(table.c.done_s.is_not(None))).scalars())
        return [each for each in self._lists.every() if each.id not in done]

    def _catch_up(self) -> list[dict[str, Any]]:
        return [self._run(each) for each in self._undone()]

    def _run(self, made: Erasure) -> dict[str, Any]:
        table = ledger.erasures
        self._note(made)
        with self._lock, self._engine.begin() as db:
            counts = self._forget(db, made)
        with self._lock:
            counts["batches"] += self._cutter.run()
        self._retention.sweep()
        # Nobody erases in a ledger that moved to PostgreSQL: all of it goes.
        database.put_away(self._encounters.parent).unlink(missing_ok=True)
        with self._engine.connect() as db:
            self._prove(db, made)
        with self._lock, self._engine.begin() as db:
            row = db.execute(select(table.c.entry, table.c.counts).where(table.c.id == made.id))
            entry, before = row.one()
            if before is not None:
                counts["batches"] = max(counts["batches"], json.loads(before)["batches"])
                counts = {kind: max(counts[kind], json.loads(before)[kind]) for kind in _KINDS}
            now_s = int(self._utc())
            text = json.dumps(counts)
            db.execute(update(table).where(table.c.id == made.id).values(counts=text, done_s=now_s))
        database.forget(self._engine)
        return _told(entry, text, now_s)

    def _note(self, made: Erasure) -> None:
        table, spans, people = ledger.erasures, ledger.erased_spans, ledger.erased_people
        with self._lock, self._engine.begin() as db:
            known = db.execute(select(table.c.id).where(table.c.id == made.id)).first()
            if known is not None:
                return
            row = {"id": made.id, "made_s": made.made_s, "entry": json.dumps(made.as_json())}
            db.execute(insert(table).values(**row))
            db.execute(
                insert(spans),
                [{"erasure": made.id, **asdict(part)} for part in made.parts],
            )
            for serial, number in made.people:
                row = database.upsert(db, people).values(serial=serial, number=number)
                db.execute(row.on_conflict_do_nothing())

    def _forget(self, db: Connection, made: Erasure) -> dict[str, int]:
        counts = dict.fromkeys(_KINDS, 0)
        mine = unwanted.load(db, made.id)
        self._segments(db, mine, counts)
        for part in made.parts:
            counts["marks"] += erase_marks.drop(db, part)
            counts["swaps"] += _drop_swaps(db, part) if made.people else 0
        if made.people:
            counts["records"] += self._sealed.drop(db, made.people)
            _drop_cases(db, made.people, counts)
        table = ledger.erasures
        before = db.execute(select(table.c.counts).where(table.c.id == made.id)).scalar()
        if before is not None:
            # It was killed behind this: what it erased then is gone now.
            counts = {kind: max(counts[kind], json.loads(before)[kind]) for kind in _KINDS}
        same = table.c.id == made.id
        db.execute(update(table).where(same).values(counts=json.dumps(counts)))
        return counts

    # --- segments ---------------------------------------------------------------------------

    def _segments(self, db: Connection, mine: Unwanted, counts: dict[str, int]) -> None:
        # Of all that the ledger names, those that hold such a row are written anew.
        table = ledger.segments
        bands = sorted({each.band for each in mine.erased})
        if not bands:
            return
        first, last = _days(mine)
        found = select(table).where(
            table.c.day.between(first, last) | (table.c.day == unwanted.UNPLACED_DAY)
        )
        rows = {row["path"]: row for row in db.execute(found).mappings()}
        bad = store.damaged(self._encounters / path for path in rows)
        counts["damaged"] += len(bad)
        there = [path for path in rows if self._encounters / path not in bad]
        # The largest first: no worker is left alone with one at the end.
        touched = holding(self._encounters, there, bands)
        touched.sort(key=lambda path: rows[path]["rows"], reverse=True)

        def rewrite(path: str) -> store.Rewritten | None:
            return store.without(self._encounters, rows[path]["day"], path, mine.rows)

        dropped: list[store.Columns] = []
        with ThreadPoolExecutor(_WORKERS) as pool:
            for path, made in zip(touched, pool.map(rewrite, touched), strict=True):
                if made is None:
                    continue
                dropped.append(made.dropped)
                counts["segments"] += 1
                self._work.swap(db, rows[path], made)
        if not dropped:
            return
        columns = {name: np.concatenate([each[name] for each in dropped]) for name in dropped[0]}
        own = int(np.isin(columns["observer"], bands).sum())
        counts["encounters_own"] += own
        counts["encounters_of_others"] += len(columns["start_s"]) - own
        observers = np.unique(columns["observer"]).tolist()
        names = {row["id"]: row["serial"] for row in ledger.rows(db, ledger.bands.c.id, observers)}
        for where, sectors in gone.places(columns, names).items():
            gone.mark(db, where, sectors)

    def _prove(self, db: Connection, made: Erasure) -> None:
        # Not one row of it in any segment that a query can read.
        mine = unwanted.load(db, made.id)
        bands = sorted({each.band for each in mine.erased})
        named = set(db.execute(select(ledger.segments.c.path)).scalars())
        files = self._encounters.glob("day=*/*.parquet")
        paths = sorted(named & {str(path.relative_to(self._encounters)) for path in files})
        bad = store.damaged(self._encounters / path for path in paths)
        good = [path for path in paths if self._encounters / path not in bad]
        for path in holding(self._encounters, good, bands) if bands else ():
            if store.without(self._encounters, 0, path, mine.rows, dry=True) is not None:
                raise NotGone(path)


def holding(root: Path, paths: Sequence[str], bands: Sequence[int]) -> list[str]:
    """Those of some segments in which a band is an observer or a contact, by two columns of them.
    Of segments that are not damaged."""
    if not paths:
        return []
    wanted = ", ".join(str(int(band)) for band in bands)
    files = {str(root / path): path for path in paths}
    with duckdb.connect(":memory:") as duck:
        duck.execute("SET enable_progress_bar = false")
        every = duck.read_parquet(list(files), filename=True)  # pyright: ignore[reportArgumentType]
        found = every.filter(f"observer IN ({wanted}) OR contact IN ({wanted})")
        names = found.project("filename").distinct().fetchall()
    return sorted(files[name] for (name,) in names)


def _days(mine: Unwanted) -> tuple[int, int]:
    first = min(each.from_s for each in mine.erased) // unwanted.DAY_S
    if any(each.to_s is None for each in mine.erased):
        return first, (1 << 31) - 1
    return first, max(each.to_s or 0 for each in mine.erased) // unwanted.DAY_S


# --- the ledger -----------------------------------------------------------------------------


def _drop_swaps(db: Connection, part: Part) -> int:
    table = ledger.swaps
    end_s = erase_marks.end_s(db, part)
    mine = (table.c.serial_a == part.serial) | (table.c.serial_b == part.serial)
    over = (table.c.from_s >= part.from_s) & (table.c.to_s <= end_s)
    return db.execute(delete(table).where(mine, over)).rowcount


def _drop_cases(db: Connection, people: Iterable[tuple[str, int]], counts: dict[str, int]) -> None:
    # Cases that ended, and calls to whom is erased: by which wearer in turn.
    table, calls = ledger.cases, ledger.calls
    for serial, number in people:
        mine = (table.c.serial == serial) & (table.c.number == number)
        numbers = list(db.execute(select(table.c.id).where(mine)).scalars())
        cases.blank(db, numbers)
        counts["cases"] += len(numbers)
        try:
            turns = wearers.hand_outs(db, serial)
        except ledger.Unknown:
            continue
        for turn in turns:
            if turn.number == number:
                who = (calls.c.serial == serial) & (calls.c.holder == turn.holder)
                counts["calls"] += db.execute(delete(calls).where(who)).rowcount


def _told(entry: str, counts: str | None, done_s: int | None) -> dict[str, Any]:
    made: Mapping[str, Any] = json.loads(entry)
    return {
        "id": made["id"],
        "made_s": made["made_s"],
        "done_s": done_s,
        "bands": sorted({part["serial"] for part in made["parts"]}),
        "days_only": not made["people"],
        "erased": json.loads(counts) if counts else dict.fromkeys(_KINDS, 0),
    }
