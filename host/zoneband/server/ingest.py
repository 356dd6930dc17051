"""A batch into the ledger and the Parquet segments: each record once, at its true UTC, with
whose ID it holds.

Segments are kept in few files a day, and are worked over when more is known: when a band enrols
or draws new keys, the IDs that were nobody's; when a better clock point of a boot comes, its times.
What no clock point places yet is kept under a day of its own.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Select, Table, bindparam, delete, insert, select, update

from zoneband.batch import BatchHeader
from zoneband.server import chains, gone, ledger, store, unwanted
from zoneband.server import heard as hearing
from zoneband.server.database import insert_new
from zoneband.server.identities import Identities
from zoneband.server.parse import Placed
from zoneband.server.timeline import Point, Quality, Timeline
from zoneband.server.unwanted import UNPLACED_DAY, Unwanted
from zoneband.wire import readers, records

DAY_S = 86400
MERGE_AT = 16
_SAME_S = 0.2
_MARKS = (
    records.DOCK,
    records.STATE,
    records.CHARGE,
    records.ORDER,
    records.REFUSAL,
    records.UPDATE,
)


_clock_spans, _segments = ledger.clock_spans, ledger.segments
_SPANS = select(_clock_spans).where(
    _clock_spans.c.serial == bindparam("serial"),
    _clock_spans.c.boot_id.in_(bindparam("boots", expanding=True)),
)
_SAME_SPAN = ("boot_id", "run_s", "until_s", "quality", "of_band")
_LOOSE = select(_segments).where(_segments.c.loose > 0)
_UNPLACED = _LOOSE.where(_segments.c.day == UNPLACED_DAY)
_OF_LEVEL = select(_segments).where(
    _segments.c.day == bindparam("day"), _segments.c.level == bindparam("level")
)
_NEW_SEGMENT = insert(_segments)
_OF_BOOTS = {
    table: select(table).where(
        table.c.serial == bindparam("serial"),
        table.c.boot_id.in_(bindparam("boots", expanding=True)),
    )
    for table in (ledger.marks, ledger.key_halves)
}


class Arrived:
    """The encounters of batches that are worked in together, at most one of each band."""

    def __init__(self) -> None:
        self.parts: list[store.Columns] = []
        self.names: dict[int, str] = {}  # which batch is of which band, by the bands' ids
        self.refused: dict[str, int] = {}  # by batch: encounters that were not kept

    def add(self, band: int, name: str, columns: store.Columns) -> None:
        """Those of one batch."""
        self.names[band] = name
        self.parts.append(columns)


class Ingest:
    """Works batches in. Calls take turns; each runs inside the caller's transaction, and what
    it writes beside the ledger counts only once that commits."""

    def __init__(self, encounters: Path, identities: Identities) -> None:
        self._encounters = encounters
        self._identities = identities
        self._unnamed: set[Path] = set()

    def batch(
        self,
        db: Connection,
        band: int,
        header: BatchHeader,
        fresh: list[Placed],
        today: int,
        name: str,
        arrived: Arrived,
    ) -> bool:
        """Work the new records of a batch (its name) of an enrolled band in, but for its
        encounters, which wait in `arrived` for `keep`; True when the band has a new chain of IDs,
        which `Identities` must hear of once this is committed.

        Raises OSError when a segment cannot be written."""
        marks = [p for p in fresh if p.record[0] != records.ENCOUNTER]
        better, lines = _clock(db, header, fresh)
        _marks(db, header, marks, lines)
        heard = [p for p in fresh if p.record[0] == records.ENCOUNTER]
        if heard:
            columns = hearing.columns(band, header.log_id, heard)
            hearing.place(columns, lines)
            arrived.add(band, name, columns)
        if better:
            first = all(better.values())
            mended = {boot: lines[boot] for boot in better}
            self._retime(db, band, mended, today, first)
            for table in (ledger.marks, ledger.key_halves):
                _retime_rows(db, table, header.serial, mended)
        keys = chains.note(db, header, marks, lines)
        return (keys or bool(better)) and chains.settle(db, header.serial, band, today)

    def keep(self, db: Connection, arrived: Arrived, today: int) -> None:
        """Keep the encounters that have arrived. Raises OSError when a segment cannot be
        written."""
        if not arrived.parts:
            return
        self._keep(db, _joined(arrived.parts), today, arrived)
        table = ledger.batches
        for name, count in arrived.refused.items():
            more = table.c.refused + count
            db.execute(update(table).where(table.c.name == name).values(refused=more))

    # --- segments ---------------------------------------------------------------------------

    def _keep(
        self, db: Connection, columns: store.Columns, today: int, arrived: Arrived | None = None
    ) -> None:
        # New rows, a segment a day. arrived: whose they are, if batches brought them.
        days = columns["start_s"] // DAY_S
        refuse = unwanted.load(db)
        for day in np.unique(days):
            part = {name: values[days == day] for name, values in columns.items()}
            self._resolve(part, int(day), today)
            part, refused = _without_unwanted(db, part, refuse)
            if arrived is not None:
                for band, count in refused.items():
                    name = arrived.names[band]
                    arrived.refused[name] = arrived.refused.get(name, 0) + count
            if not len(part["start_s"]):
                continue
            path = store.write(self._encounters, int(day), part)
            self._note(db, path, int(day), part, 0, self._tried(int(day), today))
            self._merge(db, int(day))

    def _resolve(self, part: store.Columns, day: int, today: int) -> None:
        open_ = np.flatnonzero(part["contact"] < 0)
        found, due = self._identities.find(part["rotating_id"][open_], day, today)
        part["contact"][open_], part["due_s"][open_] = found, due

    def _tried(self, day: int, today: int) -> int:
        # The newest chain that the IDs of a day were held against: none while the server's clock
        # is so far off that it does not look around that day. It may come right again.
        near = day == UNPLACED_DAY or self._identities.covers(day, today)
        return self._identities.newest if near else 0

    def _note(
        self, db: Connection, path: str, day: int, part: store.Columns, level: int, tried: int
    ) -> None:
        row = {
            "path": path,
            "day": day,
            "rows": len(part["start_s"]),
            "level": level,
            "unresolved": int((part["contact"] < 0).sum()),
            "tried": tried,
            "loose": int((part["clock"] < Quality.VOUCHED).sum()),
        }
        db.execute(_NEW_SEGMENT, row)

    def _merge(self, db: Connection, day: int) -> None:
        table = ledger.segments
        for level in range(4):
            parts = list(db.execute(_OF_LEVEL, {"day": day, "level": level}).mappings())
            if len(parts) < MERGE_AT:
                return
            # What is damaged stays as it is: a trace tells it.
            bad = store.damaged(self._encounters / p["path"] for p in parts)
            parts = [p for p in parts if self._encounters / p["path"] not in bad]
            if len(parts) < MERGE_AT:
                return
            try:
                path, count = store.merge(self._encounters, day, [p["path"] for p in parts])
            except store.Damaged:
                return
            self._drop(db, [p["path"] for p in parts])
            db.execute(
                insert(table).values(
                    path=path,
                    day=day,
                    rows=count,
                    level=level + 1,
                    unresolved=sum(p["unresolved"] for p in parts),
                    tried=min(p["tried"] for p in parts),
                    loose=sum(p["loose"] for p in parts),
                )
            )

    def _drop(self, db: Connection, paths: Iterable[str]) -> None:
        # The files stay until `sweep`: a query may be reading them.
        db.execute(delete(ledger.segments).where(ledger.segments.c.path.in_(list(paths))))

    def stale(self, db: Connection, first_day: int, last_day: int) -> bool:
        """Whether `resolve_again` has something to do."""
        return db.execute(self._stale(first_day, last_day).limit(1)).first() is not None

    def _stale(self, first_day: int, last_day: int) -> Select[Any]:
        table = ledger.segments
        return select(table).where(
            table.c.day.between(first_day, last_day),
            table.c.unresolved > 0,
            table.c.tried < self._identities.newest,
        )

    def resolve_again(self, db: Connection, first_day: int, last_day: int, today: int) -> None:
        """Hold what was nobody's against the chains of IDs that have come since."""
        table = ledger.segments
        refuse = unwanted.load(db)
        rows = db.execute(self._stale(first_day, last_day)).mappings()
        for row in list(rows):
            try:
                part = store.read(self._encounters, row["path"])
            except store.Damaged:
                continue
            part = {name: values.copy() for name, values in part.items()}
            self._resolve(part, row["day"], today)
            if int((part["contact"] < 0).sum()) == row["unresolved"]:
                db.execute(
                    update(table)
                    .where(table.c.path == row["path"])
                    .values(tried=self._tried(row["day"], today))
                )
                continue
            part, _counts = _without_unwanted(db, part, refuse)
            self._replace(db, row, part, self._tried(row["day"], today))

    def _replace(
        self, db: Connection, row: Mapping[Any, Any], part: store.Columns, tried: int
    ) -> None:
        # A segment by what is left of it, or changed in it.
        self._drop(db, [row["path"]])
        if len(part["start_s"]):
            path = store.write(self._encounters, row["day"], part)
            self._note(db, path, row["day"], part, row["level"], tried)

    def _retime(
        self, db: Connection, band: int, lines: Mapping[int, Timeline], today: int, first: bool
    ) -> None:
        # A better clock point came for boots whose records were placed by worse ones, or by none:
        # first, when that is so of all of them.
        rows = db.execute(_UNPLACED if first else _LOOSE).mappings()
        moved: list[store.Columns] = []
        for row in list(rows):
            try:
                part = store.read(self._encounters, row["path"])
            except store.Damaged:
                continue
            mine = (part["observer"] == band) & np.isin(part["boot_id"], list(lines))
            quality = np.array([lines[b].quality if b in lines else -1 for b in part["boot_id"]])
            mine &= part["clock"] < quality
            if not mine.any():
                continue
            moved.append({name: values[mine] for name, values in part.items()})
            rest = {name: values[~mine] for name, values in part.items()}
            self._replace(db, row, rest, row["tried"])
        if moved:
            columns = _joined(moved)
            hearing.place(columns, lines)
            self._keep(db, columns, today)

    def swap(self, db: Connection, row: Mapping[Any, Any], made: store.Rewritten) -> None:
        """Let what is left of a segment (a row of ledger.segments) take its place."""
        self._drop(db, [row["path"]])
        if made.path is not None:
            db.execute(
                insert(ledger.segments).values(
                    path=made.path,
                    day=row["day"],
                    rows=made.rows,
                    level=row["level"],
                    unresolved=made.unresolved,
                    tried=row["tried"],
                    loose=made.loose,
                )
            )

    def forget_unplaced(
        self,
        db: Connection,
        which: Callable[[store.Columns], npt.NDArray[np.bool_]],
        today: int,
    ) -> int:
        """Drop some of the encounters that no clock point places, or one that is ahead of today:
        their days would be kept until they come. How many."""
        table = ledger.segments
        astray = (table.c.day == UNPLACED_DAY) | (table.c.day > today)
        rows = db.execute(select(table).where(astray)).mappings()
        count = 0
        for row in list(rows):
            try:
                part = store.read(self._encounters, row["path"])
            except store.Damaged:
                continue
            drop = which(part)
            if drop.any():
                count += int(drop.sum())
                rest = {name: values[~drop] for name, values in part.items()}
                self._replace(db, row, rest, row["tried"])
        return count

    def unnamed(self, db: Connection) -> set[Path]:
        """Segment files that the ledger does not name, of merges, erasures and crashes."""
        return self._files(db)[0]

    def _files(self, db: Connection) -> tuple[set[Path], bool]:
        # Those that are not named, and whether all that are named are there.
        named = set(db.execute(select(ledger.segments.c.path)).scalars())
        there = {str(p.relative_to(self._encounters)): p for p in self._encounters.glob("day=*/*")}
        return {path for name, path in there.items() if name not in named}, named <= there.keys()

    def sweep(self, db: Connection, unread: Set[Path] | None = None) -> None:
        """Remove segment files that the ledger does not name, and did not name at the sweep before
        either: a query may still read what was dropped since. While one that it names is not there
        nothing is removed: an old ledger may have been put back, and the newer files then hold what
        it misses. unread: remove these instead, those of before which no query reads any more."""
        unnamed, whole = self._files(db)
        gone = unnamed & (self._unnamed if unread is None else unread)
        if unread is not None or whole:
            for path in gone:
                path.unlink(missing_ok=True)
            unnamed -= gone
        # Beside the sweeps of before, what was dropped while these waited for queries is no older.
        self._unnamed = unnamed if unread is None else self._unnamed & unnamed


def _joined(parts: list[store.Columns]) -> store.Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _without_unwanted(
    db: Connection, part: store.Columns, refuse: Unwanted
) -> tuple[store.Columns, dict[int, int]]:
    # The rows that may be kept, and how many may not, by the ids of the bands that recorded them:
    # the batches' slots of these are gone.
    drop = refuse.rows(part)
    if not drop.any():
        return part, {}
    refused = {name: values[drop] for name, values in part.items()}
    observers, counts = np.unique(refused["observer"], return_counts=True)
    bands = ledger.rows(db, ledger.bands.c.id, observers.tolist())
    for where, sectors in gone.places(refused, {row["id"]: row["serial"] for row in bands}).items():
        gone.mark(db, where, sectors)
    kept = {name: values[~drop] for name, values in part.items()}
    return kept, dict(zip(observers.tolist(), counts.tolist(), strict=True))


def _clock(
    db: Connection, header: BatchHeader, fresh: list[Placed]
) -> tuple[dict[int, bool], dict[int, Timeline]]:
    # Keep what the batch says of the band's clock; the boots that it is the best yet of, and
    # whether it is the first; and the timelines of all boots that its records are of.
    spans: list[dict[str, Any]] = []
    if any(placed.boot_id == header.boot_id for placed in fresh):
        # The station's word, of a run time that the band itself was in at this pull.
        pair_s = header.run_s + header.run_ms / 1000
        pair = {
            "boot_id": header.boot_id,
            "run_s": pair_s,
            "until_s": pair_s,
            "utc_s": header.utc_s + header.utc_ms / 1000,
            "error_ms": header.error_ms,
            "quality": int(Quality.VOUCHED if header.vouched else Quality.SUSPECT),
            "of_band": False,
        }
        spans.append(pair)
    for placed in fresh:
        if placed.record[0] != records.CLOCK:
            continue
        at, ms, source, flags, utc, utc_ms, error, _ = readers.read_clock(placed.record)
        quality = Quality.SUSPECT if flags & records.SUSPECT else Quality.RUNNING
        if source == records.SOURCE_STATION:
            quality = Quality.VOUCHED
        run_s, utc_s = placed.base_s + at + ms / 1000, utc + utc_ms / 1000
        last = spans[-1] if spans else {"of_band": False}
        # The band's clock rides on its run time: a mark that says the same makes no new row.
        same = last["of_band"] and last["boot_id"] == placed.boot_id and last["quality"] == quality
        if same and abs(utc_s - run_s - (last["utc_s"] - last["run_s"])) <= _SAME_S:
            last["until_s"] = max(last["until_s"], run_s)
            continue
        spans.append(
            {
                "boot_id": placed.boot_id,
                "run_s": run_s,
                "until_s": run_s,
                "utc_s": utc_s,
                "error_ms": error,
                "quality": int(quality),
                "of_band": True,
            }
        )
    boots = {placed.boot_id for placed in fresh}
    if not boots:
        return {}, {}
    of = {"serial": header.serial, "boots": sorted(boots)}
    known = [dict(row) for row in db.execute(_SPANS, of).mappings()]
    best: dict[int, int] = {}
    for row in known:
        best[row["boot_id"]] = max(best.get(row["boot_id"], -1), row["quality"])
    better = {
        boot: boot not in best
        for span in spans
        if span["quality"] > best.get(boot := span["boot_id"], -1)
    }
    # What is known of the same moment stays as it is.
    there = {tuple(row[name] for name in _SAME_SPAN) for row in known}
    new: dict[tuple[Any, ...], dict[str, Any]] = {}
    for span in spans:
        new.setdefault(tuple(span[name] for name in _SAME_SPAN), span)
    rows = [{"serial": header.serial, **span} for key, span in new.items() if key not in there]
    if rows:
        db.execute(insert_new(db, ledger.clock_spans), rows)
    return better, timelines([*known, *rows])


def timelines(rows: Iterable[Mapping[str, Any]]) -> dict[int, Timeline]:
    """Boot id to timeline, from one band's rows of ledger.clock_spans."""
    points: dict[int, list[Point]] = defaultdict(list)
    for row in rows:
        offset = row["utc_s"] - row["run_s"]
        for run_s in {row["run_s"], row["until_s"]}:
            quality, error_s = Quality(row["quality"]), row["error_ms"] / 1000
            points[row["boot_id"]].append(Point(run_s, run_s + offset, quality, error_s))
    return {boot: Timeline(found) for boot, found in points.items()}


def _marks(
    db: Connection,
    header: BatchHeader,
    marks: list[Placed],
    lines: Mapping[int, Timeline],
) -> None:
    rows: list[dict[str, Any]] = []
    for placed in marks:
        kind = placed.record[0]
        value = number = 0
        if kind in _MARKS:
            _, at, value, number = readers.read_mark(placed.record)
        elif kind == records.LOSS:
            at, value, first, end = readers.read_loss(placed.record)
            number = end - first
        elif kind == records.BOOT:
            at, value, _, _, number = readers.read_boot(placed.record)
        elif kind == records.HEALTH:
            at, *losses = readers.read_health(placed.record)
            value = sum(losses[:5])
        else:
            continue
        line = lines.get(placed.boot_id)
        rows.append(
            {
                "serial": header.serial,
                "log_id": header.log_id,
                "sector": placed.sector,
                "slot": placed.slot,
                "kind": kind,
                "utc_s": round(line.utc(placed.base_s + at)) if line else None,
                "boot_id": placed.boot_id,
                "run_s": placed.base_s + at,
                "value": value,
                "number": number,
            }
        )
    if rows:
        db.execute(insert_new(db, ledger.marks), rows)


def _retime_rows(db: Connection, table: Table, serial: str, lines: Mapping[int, Timeline]) -> None:
    # True UTC of a band's rows of some boots, of which a better clock point came.
    of = {"serial": serial, "boots": sorted(lines)}
    for row in db.execute(_OF_BOOTS[table], of).mappings().all():
        utc_s = round(lines[row["boot_id"]].utc(row["run_s"]))
        if utc_s != row["utc_s"]:
            same = [column == row[column.name] for column in table.primary_key]
            db.execute(update(table).where(*same).values(utc_s=utc_s))
