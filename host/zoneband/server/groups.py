"""Groups of bands and their keys, as the tracing server keeps them.

A group is a commune or a site: a market, a factory, a port. A band's dock key is made of its
group's key (zoneband.wire.handshake), so that a station of that group docks it without a network.
A key that has to be replaced gets a next generation, and every band of the group an order with its
new dock key; stations keep the earlier generations for the bands that still have them.
"""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select

from zoneband.server import ledger, orders
from zoneband.wire import handshake
from zoneband.wire import orders as order_wire

DEFAULT = "default"
KEY_BYTES = 32
LAST_NUMBER, LAST_GENERATION = 65535, 255


class UnknownGroup(Exception):
    """No group has this name."""


class Full(Exception):
    """All numbers of groups, or all generations of a group's key, are used."""


class Groups:
    """The groups of one ledger. Writes take turns by the server's own lock."""

    def __init__(
        self, engine: Engine, lock: AbstractContextManager[Any], utc: Callable[[], float]
    ) -> None:
        """Makes group 1, `default`, in a new ledger. utc: Unix seconds now."""
        self._engine = engine
        self._lock = lock
        self._utc = utc
        self.add(DEFAULT)

    def add(self, name: str) -> tuple[int, bool]:
        """A group's number, and whether it is new. Raises Full."""
        with self._lock, self._engine.begin() as db:
            found = _number(db, name)
            if found is not None:
                return found, False
            number = (db.execute(select(func.max(ledger.groups.c.number))).scalar() or 0) + 1
            if number > LAST_NUMBER:
                raise Full
            now_s = int(self._utc())
            db.execute(insert(ledger.groups).values(number=number, name=name, created_s=now_s))
            _add_key(db, number, 1, now_s)
            return number, True

    def renew(self, name: str) -> tuple[int, int]:
        """Give a group a new key, and each of its bands an order with its new dock key:
        (generation, bands). Raises UnknownGroup, Full."""
        with self._lock, self._engine.begin() as db:
            number = _number(db, name)
            if number is None:
                raise UnknownGroup(name)
            generation = newest(db, number)[0] + 1
            if generation > LAST_GENERATION:
                raise Full
            _add_key(db, number, generation, int(self._utc()))
            serials = db.execute(
                select(ledger.bands.c.serial).where(ledger.bands.c.group_number == number)
            ).scalars()
            count = 0
            for serial in list(serials):
                order_newest(db, serial, number, int(self._utc()))
                count += 1
            return generation, count

    def assign(self, station: str, names: Sequence[str]) -> None:
        """The groups that a station serves, instead of those before; new bands are made for the
        first. Raises UnknownGroup, and then changes nothing."""
        table = ledger.station_groups
        with self._lock, self._engine.begin() as db:
            numbers: list[int] = []
            for name in dict.fromkeys(names):
                number = _number(db, name)
                if number is None:
                    raise UnknownGroup(name)
                numbers.append(number)
            db.execute(delete(table).where(table.c.station == station))
            for place, number in enumerate(numbers):
                db.execute(insert(table).values(station=station, number=number, place=place))

    def has(self, station: str) -> bool:
        """Whether a station serves any group."""
        table = ledger.station_groups
        with self._engine.connect() as db:
            found = db.execute(select(table.c.number).where(table.c.station == station).limit(1))
            return found.first() is not None

    def of_station(self, station: str) -> list[dict[str, Any]]:
        """Keys of the groups that a station serves, the first group first, every generation from
        the oldest: number, name, generation and key (hex)."""
        table = ledger.station_groups
        query = (
            _keys()
            .join(table, table.c.number == ledger.groups.c.number)
            .where(table.c.station == station)
            .order_by(table.c.place, ledger.group_keys.c.generation)
        )
        with self._engine.connect() as db:
            return _plain(db, query)

    def keys_of(self, name: str) -> list[dict[str, Any]]:
        """Every generation of one group's key, as of_station. Raises UnknownGroup."""
        query = _keys().where(ledger.groups.c.name == name)
        with self._engine.connect() as db:
            found = _plain(db, query.order_by(ledger.group_keys.c.generation))
        if not found:
            raise UnknownGroup(name)
        return found

    def every(self) -> list[dict[str, Any]]:
        """All groups without their keys: number, name, generation, how many bands, and how many of
        those have the newest key."""
        bands = ledger.bands.c
        with self._engine.connect() as db:
            out: list[dict[str, Any]] = []
            for row in db.execute(select(ledger.groups).order_by(ledger.groups.c.number)):
                generation = newest(db, row.number)[0]
                of_group = select(func.count()).where(bands.group_number == row.number)
                out.append(
                    {
                        "number": row.number,
                        "name": row.name,
                        "generation": generation,
                        "bands": db.execute(of_group).scalar_one(),
                        "bands_newest": db.execute(
                            of_group.where(bands.group_generation == generation)
                        ).scalar_one(),
                    }
                )
            return out


def keys_in(directory: Path, name: str) -> list[dict[str, Any]]:
    """Every generation of a group's key in a server's directory. Raises UnknownGroup."""
    return Groups(ledger.open_ledger(directory), threading.RLock(), time.time).keys_of(name)


def newest(db: Connection, number: int) -> tuple[int, bytes]:
    """(generation, key) that a group's new bands get; (0, b"") for a group that is not there."""
    table = ledger.group_keys
    found = db.execute(
        select(table.c.generation, table.c.key)
        .where(table.c.number == number)
        .order_by(table.c.generation.desc())
        .limit(1)
    ).first()
    return (0, b"") if found is None else (found.generation, found.key)


def order_newest(db: Connection, serial: str, number: int, made_s: int) -> None:
    """Order a band of a group to take the dock key of the newest generation."""
    generation, key = newest(db, number)
    body = order_wire.dock_key_body(number, generation, handshake.dock_key(key, serial))
    orders.add(db, serial, order_wire.DOCK_KEY, body, made_s)


def _number(db: Connection, name: str) -> int | None:
    return db.execute(select(ledger.groups.c.number).where(ledger.groups.c.name == name)).scalar()


def _add_key(db: Connection, number: int, generation: int, created_s: int) -> None:
    db.execute(
        insert(ledger.group_keys).values(
            number=number,
            generation=generation,
            key=secrets.token_bytes(KEY_BYTES),
            created_s=created_s,
        )
    )


def _keys() -> Any:
    groups, keys = ledger.groups, ledger.group_keys
    return select(groups.c.number, groups.c.name, keys.c.generation, keys.c.key).join(
        keys, keys.c.number == groups.c.number
    )


def _plain(db: Connection, query: Any) -> list[dict[str, Any]]:
    return [
        {
            "number": row.number,
            "name": row.name,
            "generation": row.generation,
            "key": row.key.hex(),
        }
        for row in db.execute(query)
    ]
