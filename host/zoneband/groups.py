"""The keys of the groups whose bands this station docks: station/groups.json in its data.

The server says which (`GET /v1/stations/{name}/groups`), or a file that `zoneband group export`
wrote on the server's computer, where there is no network yet. All generations of a key are kept:
a band has an earlier one until it has carried out the order that gives it the newest.
"""

import contextlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from zoneband import durable
from zoneband import station as stations
from zoneband.dock.greeting import Hello
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.station import Station
from zoneband.wire import handshake

FETCH_S = 3600.0  # how old the server's word may become
TIMEOUT_S = 5.0


@dataclass(frozen=True)
class GroupKey:
    """One generation (1 to 255) of the key (32 bytes) of a group (number 1 to 65535)."""

    number: int
    name: str
    generation: int
    key: bytes = field(repr=False)


def read(facts: Any) -> list[GroupKey]:
    """Keys from the JSON of the server or of a file. Raises ValueError."""
    try:
        return [_read_one(entry) for entry in facts["groups"]]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("no group keys") from error


def _read_one(entry: Any) -> GroupKey:
    number, generation, key = entry["number"], entry["generation"], bytes.fromhex(entry["key"])
    good = type(number) is int and 1 <= number <= 65535 and len(key) == 32
    if not good or type(generation) is not int or not 1 <= generation <= 255:
        raise ValueError("no group key")
    return GroupKey(number, str(entry["name"]), generation, key)


def as_json(keys: Iterable[GroupKey]) -> dict[str, Any]:
    """What `read` reads."""
    return {
        "groups": [
            {"number": k.number, "name": k.name, "generation": k.generation, "key": k.key.hex()}
            for k in keys
        ]
    }


class GroupKeys:
    """The keys in one data directory. What another process or object saves is seen at once."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._path = data / "station" / "groups.json"
        self._stamp: tuple[int, int] | None = None
        self._keys: tuple[GroupKey, ...] = ()
        self._imported: tuple[GroupKey, ...] = ()

    def load(self) -> list[GroupKey]:
        """All keys: the groups in the server's order, then those of files. Raises UserError when
        the file is damaged."""
        try:
            found = self._path.stat()
        except OSError:
            return []
        stamp = found.st_mtime_ns, found.st_ino
        if stamp != self._stamp:
            try:
                facts = json.loads(self._path.read_text(encoding="utf-8"))
                keys = tuple(read(facts))
                imported = tuple(read({"groups": facts.get("imported", [])}))
            except (OSError, ValueError, AttributeError) as error:
                raise UserError(
                    _("{path} cannot be read. Run zoneband station init again.").format(
                        path=self._path
                    ),
                    ExitCode.USAGE,
                ) from error
            self._keys, self._imported, self._stamp = keys, imported, stamp
        return [*self._keys, *self._imported]

    def save(self, keys: Iterable[GroupKey], imported: Iterable[GroupKey] = ()) -> None:
        """Write the server's keys and those of files, for this user alone, whole or not at all."""
        facts = as_json(keys) | {"imported": as_json(imported)["groups"]}
        text = json.dumps(facts, indent=1, ensure_ascii=False).encode() + b"\n"
        stations.directory(self._data)
        durable.write(self._path, lambda f: f.write(text), 0o600)

    def key(self, number: int, generation: int) -> bytes | None:
        """A group's key (32 bytes), None when it is not here."""
        for known in self.load():
            if (known.number, known.generation) == (number, generation):
                return known.key
        return None

    def newest(self, number: int) -> int:
        """Generation of a group's newest key, 0 when none of its keys is here."""
        return max((k.generation for k in self.load() if k.number == number), default=0)

    def dock_key(self, number: int, generation: int, serial: str) -> bytes | None:
        """A band's dock key (32 bytes), None when its group's key is not here."""
        key = self.key(number, generation)
        return None if key is None else handshake.dock_key(key, serial)

    def of_band(self, band: Hello) -> bytes | None:
        """The dock key of a band that says whose it is (zoneband.dock.greeting.Keys)."""
        return self.dock_key(band.group, band.generation, band.serial)

    def current(self) -> tuple[int, int, bytes]:
        """(number, generation, key) for new bands: this station's first group, its newest key.
        Raises UserError when there is none."""
        keys = self.load()
        if not keys:
            raise UserError(
                _(
                    "This station has no group's key: no band can be made here. Run zoneband "
                    "station init, or without a network zoneband station groups FILE."
                ),
                ExitCode.USAGE,
            )
        newest = max((k for k in keys if k.number == keys[0].number), key=lambda k: k.generation)
        return newest.number, newest.generation, newest.key

    def add(self, keys: Iterable[GroupKey]) -> None:
        """Keep keys of a file until the server gives those of the same group. Raises UserError
        when another key is known here as one of them."""
        new = list(keys)
        for each in new:
            if self.key(each.number, each.generation) not in (None, each.key):
                raise UserError(
                    _(
                        "Another key is known here as generation {generation} of group {name}: the "
                        "file is of another server. Nothing was changed."
                    ).format(generation=each.generation, name=each.name)
                )
        kept = {(k.number, k.generation): k for k in (*self._imported, *new)}
        self.save(self._keys, _beside(kept.values(), self._keys))

    def stale(self) -> bool:
        """Whether the server was not asked for an hour."""
        try:
            age_s = time.time() - self._path.stat().st_mtime
        except OSError:
            return True
        return not 0 <= age_s < FETCH_S

    def differing(self, before: Iterable[GroupKey]) -> list[str]:
        """Names of groups of which other keys were known than there are now: another server's."""
        return sorted(
            {k.name for k in before if self.key(k.number, k.generation) not in (None, k.key)}
        )

    def fetch(self, http: httpx2.Client, station: Station) -> bool:
        """Ask the server and save; False when it cannot say. Raises httpx2.HTTPError."""
        place = f"/v1/stations/{quote(station.name, safe='')}/groups"
        answer = http.get(place, timeout=TIMEOUT_S)
        if answer.status_code != 200:
            return False
        try:
            keys = read(answer.json())
        except ValueError:
            return False
        with contextlib.suppress(UserError):  # a damaged file is mended by this
            self.load()
        self.save(keys, _beside(self._imported, keys))
        return True


def _beside(imported: Iterable[GroupKey], of_server: Iterable[GroupKey]) -> list[GroupKey]:
    # A file's keys, but of groups that the server gives the keys of; those it knows better.
    numbers = {key.number for key in of_server}
    return [key for key in imported if key.number not in numbers]
