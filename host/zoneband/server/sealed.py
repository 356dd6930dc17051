"""Sealed records at the server: kept as they came, opened while the authority's key is in memory.

A person's record is opened each time it is asked for and never stored in clear. An enrolment's
keys go into the ledger, since every ID is looked up with them.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Connection, Engine, delete, func, select, update
from sqlalchemy.exc import OperationalError

from zoneband import durable, seal
from zoneband.i18n import _
from zoneband.seal import Kind
from zoneband.server import facts as checked
from zoneband.server import ledger
from zoneband.server.database import is_gone, upsert

# What became of a record.
KEPT = "kept"  # its key is not in memory yet
OPENED = "opened"
CONFLICT = "conflict"  # an enrolment that contradicts one that is known
UNREADABLE = "unreadable"  # altered, sealed to a key that only shares its number, or nonsense
DROPPED = "dropped"  # its time is over: only its name is kept, so that it does not come back

_NOTHING = {"state": DROPPED, "serial": None, "number": None, "station": ""}

_REPLACED = 16  # bands one after another that a person is followed through

_say = logging.getLogger(__name__)

Enrol = Callable[[dict[str, Any]], None]  # raises Conflict or ValueError


class Conflict(Exception):
    """The same name with other contents."""


class SealedRecords:
    """The records of one data directory. Calls take turns by the server's own lock."""

    def __init__(
        self, directory: Path, engine: Engine, enrol: Enrol, utc: Callable[[], float] = time.time
    ) -> None:
        self._files = directory / "sealed"
        durable.folder(self._files)
        self._engine = engine
        self._enrol = enrol
        self._utc = utc
        self._keys: dict[int, X25519PrivateKey] = {}

    def unlock(self, keys: Mapping[int, X25519PrivateKey]) -> int:
        """The authority's private keys, by number, from now on; how many records that had waited
        were opened."""
        self._keys = dict(keys)
        table = ledger.sealed
        with self._engine.connect() as db:
            waiting = db.execute(
                select(table.c.name).where(table.c.state == KEPT, table.c.key_number.in_(keys))
            )
            names = list(waiting.scalars())
        opened = 0
        for name in names:
            # One that cannot be worked in holds none of the others up.
            try:
                opened += self._work(name) == OPENED
            except Exception as error:
                if is_gone(error):
                    raise
                _say.exception(_("Record %s could not be opened; it is kept."), name)
        return opened

    def locked(self) -> bool:
        """Whether no private key is in memory."""
        return not self._keys

    def waiting(self) -> int:
        """Records that no key in memory opens."""
        with self._engine.connect() as db:
            rows = db.execute(select(ledger.sealed.c.name).where(ledger.sealed.c.state == KEPT))
            return len(list(rows))

    def take(self, station: str, name: str, data: bytes) -> tuple[bool, str]:
        """Keep a record durably and open it if its key is here: (new, what became of it).

        Raises ValueError for bytes that are no sealed record."""
        kind, number = seal.read_head(data)
        table = ledger.sealed
        with self._engine.connect() as db:
            gone = db.execute(select(table.c.state).where(table.c.name == name)).scalar()
        if gone == DROPPED:
            return False, gone
        path = self._files / name
        row = {
            "name": name,
            "station": station,
            "kind": int(kind),
            "key_number": number,
            "came_s": int(self._utc()),
            "state": KEPT,
        }
        with self._engine.begin() as db:
            add = upsert(db, table).values(row).on_conflict_do_nothing()
            new = db.execute(add.returning(table.c.name)).first() is not None
            if new or not path.exists():
                # As with batches: on the disk before the ledger names it.
                durable.write(path, lambda f: f.write(data), 0o600)
            state = db.execute(select(table.c.state).where(table.c.name == name)).scalar_one()
        if state == KEPT and number in self._keys:
            state = self._work(name)
        return new, state

    def _open(self, name: str) -> dict[str, Any]:
        data = (self._files / name).read_bytes()
        _kind, number = seal.read_head(data)
        try:
            facts = seal.unseal(self._keys[number], data)
        except RecursionError as error:
            raise ValueError("nested too deep") from error
        checked.check(facts)
        return facts

    def _work(self, name: str) -> str:
        data = (self._files / name).read_bytes()
        kind, _number = seal.read_head(data)
        values: dict[str, Any] = {"state": OPENED}
        try:
            facts = self._open(name)
            values["serial"] = checked.text(facts, "serial")
            if kind == Kind.ENROLMENT:
                self._enrol(facts)
            else:
                values["number"] = checked.number(facts, "number")
            if self._erased(values):
                return self._drop_one(name)
            if kind == Kind.EVENT:
                self._note(name, facts)
        except Conflict:
            values["state"] = CONFLICT
        except (OSError, OperationalError):
            raise  # nothing is wrong with the record
        except Exception:
            values = {"state": UNREADABLE}
        with self._engine.begin() as db:
            db.execute(update(ledger.sealed).where(ledger.sealed.c.name == name).values(**values))
        return values["state"]

    def _erased(self, values: dict[str, Any]) -> bool:
        # Whether a record is of a person who was erased: it came late, or once more.
        table = ledger.erased_people
        same = (table.c.serial == values["serial"]) & (table.c.number == values.get("number"))
        with self._engine.connect() as db:
            return db.execute(select(table.c.number).where(same)).first() is not None

    def _drop_one(self, name: str) -> str:
        same = ledger.sealed.c.name == name
        with self._engine.begin() as db:
            db.execute(update(ledger.sealed).where(same).values(**_NOTHING))
        (self._files / name).unlink(missing_ok=True)
        return DROPPED

    def _note(self, name: str, facts: dict[str, Any]) -> None:
        row = {
            "name": name,
            "serial": checked.text(facts, "serial"),
            "number": checked.number(facts, "number"),
            "event": checked.text(facts, "event"),
            "utc_s": checked.number(facts, "utc_s"),
            "new_serial": checked.maybe(facts, "new_serial", checked.text),
            "new_number": checked.maybe(facts, "new_number", checked.number),
        }
        with self._engine.begin() as db:
            db.execute(upsert(db, ledger.events).values(row).on_conflict_do_nothing())

    def drop(self, db: Connection, hand_outs: Iterable[tuple[str, int]]) -> int:
        """Forget all that is known of hand-outs (serial, number): persons, and what became of the
        band. How many records; `sweep` then removes their files."""
        table, events = ledger.sealed, ledger.events
        count = 0
        for serial, number in hand_outs:
            mine = (table.c.serial == serial) & (table.c.number == number)
            count += db.execute(update(table).where(mine).values(**_NOTHING)).rowcount
            of = (events.c.serial == serial) & (events.c.number == number)
            db.execute(delete(events).where(of))
        return count

    def sweep(self) -> int:
        """Remove the files of records that were dropped; how many."""
        with self._engine.connect() as db:
            found = select(ledger.sealed.c.name).where(ledger.sealed.c.state == DROPPED)
            dropped = set(db.execute(found).scalars())
        there = [path for path in self._files.iterdir() if path.name in dropped]
        for path in there:
            path.unlink()
        return len(there)

    def refused(self, db: Connection, serial: str) -> int:
        """How many enrolments contradicted the one that a serial has."""
        table = ledger.sealed
        found = select(func.count()).where(
            table.c.kind == int(Kind.ENROLMENT),
            table.c.serial == serial,
            table.c.state == CONFLICT,
        )
        return db.execute(found).scalar_one()

    # --- people -----------------------------------------------------------------------------

    def has_people(self, db: Connection) -> bool:
        """Whether there is any person's record."""
        mine = select(ledger.sealed.c.name).where(ledger.sealed.c.kind == int(Kind.PERSON))
        return db.execute(mine.limit(1)).first() is not None

    def persons(
        self, db: Connection, hand_outs: Iterable[tuple[str, int]]
    ) -> dict[tuple[str, int], dict[str, Any]]:
        """Who holds bands by serial and hand-out's number; without those that are not known or
        locked. A person who got a replacement is found by the band before."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        # Where each is looked for: the hand-out itself, then the one that it replaced, and so on.
        asked = {each: each for each in hand_outs}
        for _step in range(_REPLACED):
            if not asked:
                break
            serials = {serial for serial, _number in asked.values()}
            names: dict[tuple[str, int], str] = {}
            for row in self._people(db, serials):
                names.setdefault((row["serial"], row["number"]), row["name"])
            befores = {
                (row["new_serial"], row["new_number"]): (row["serial"], row["number"])
                for row in ledger.rows(db, ledger.events.c.new_serial, serials)
            }
            for each, at in asked.items():
                person = self._read(names[at]) if at in names else None
                if person is not None:
                    found[each] = person
            asked = {
                each: befores[at] for each, at in asked.items() if at not in names and at in befores
            }
        return found

    def person(self, db: Connection, serial: str, number: int) -> dict[str, Any] | None:
        """`persons` for one hand-out."""
        return self.persons(db, [(serial, number)]).get((serial, number))

    def people(self, db: Connection, serials: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """Everybody whom bands were handed out to, by serial, first to last."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in self._people(db, serials):
            if person := self._read(row["name"]):
                found[row["serial"]].append(person)
        return dict(found)

    def _people(self, db: Connection, serials: Iterable[str]) -> list[dict[str, Any]]:
        # First come, first.
        rows = ledger.rows(db, ledger.sealed.c.serial, serials)
        return sorted(
            (row for row in rows if row["kind"] == Kind.PERSON), key=lambda row: row["came_s"]
        )

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return self._open(name)
        except (KeyError, ValueError, OSError):
            return None
