"""Whose was a rotating ID: tables of the IDs of all bands' chains, a day at a time.

An ID is looked for without regard to the time it was heard, over the days that a log can hold:
a replayed ID must be known as somebody's. A day's table is sorted by an ID's first 8 bytes.
Chains that come later go into small tables beside the large one, merged as they grow. A large
day's table is kept on disk, since a start would otherwise hash for many seconds; it holds IDs
and no keys.
"""

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoneband.server.chains import KeyChain
from zoneband.wire import bluezone

Ints = npt.NDArray[np.int64]
IdBytes = npt.NDArray[np.uint8]  # (n, 12)

LOOK_BACK_DAYS = 22
_AHEAD_DAYS = 1
_MOST_DAYS = 20 * 365  # that a band's key is stepped over
_KEEP_FROM = 100_000  # IDs; smaller tables are made anew in no time
_MERGE = 4
_NEVER = 1 << 62


@dataclass
class _Part:
    """IDs of a day, sorted by their first 8 bytes; a column each."""

    high: npt.NDArray[np.uint64]
    low: npt.NDArray[np.uint32]
    chain: npt.NDArray[np.int32]
    slot: npt.NDArray[np.uint8]

    def sorted(self) -> "_Part":
        """The same in order."""
        order = np.argsort(self.high)
        return _Part(*(column[order] for column in self.columns()))

    def columns(self) -> list[npt.NDArray[Any]]:
        """As many arrays as an ID has facts."""
        return [self.high, self.low, self.chain, self.slot]


def _join(parts: list[_Part]) -> _Part:
    columns = zip(*(part.columns() for part in parts), strict=True)
    return _Part(*(np.concatenate(each) for each in columns)).sorted()


@dataclass
class _Day:
    """Tables of one day, large ones first, with all chains up to the number `upto`."""

    parts: list[_Part]
    upto: int = 0


class Identities:
    """Looks IDs up. Not for several threads at once."""

    def __init__(self, cache: Path) -> None:
        """cache: a directory for day tables."""
        self._cache = cache
        self._chains: list[KeyChain] = []
        # By a chain's number: its band, and when the band drew the next one.
        self._band = np.full(1, -1, np.int64)
        self._until = np.full(1, _NEVER, np.int64)
        self._days: dict[int, _Day] = {}

    def add(self, chains: Iterable[KeyChain]) -> None:
        """Add those of some chains that are new, with growing numbers; of all, learn when they
        ended."""
        chains = sorted(chains)
        newest = self.newest
        self._chains += [chain for chain in chains if chain.id > newest]
        size = self.newest + 1 - len(self._band)
        if size > 0:
            self._band = np.concatenate([self._band, np.full(size, -1, np.int64)])
            self._until = np.concatenate([self._until, np.full(size, _NEVER, np.int64)])
        for chain in chains:
            self._band[chain.id] = chain.band
            self._until[chain.id] = _NEVER if chain.until_s is None else chain.until_s

    @property
    def newest(self) -> int:
        """Highest number of a chain, 0 when there is none."""
        return self._chains[-1].id if self._chains else 0

    def covers(self, heard_day: int, today: int) -> bool:
        """Whether `find` looks among the IDs of that UTC day."""
        return today - LOOK_BACK_DAYS <= heard_day <= today + _AHEAD_DAYS

    def find(self, ids: IdBytes, heard_day: int, today: int) -> tuple[Ints, Ints]:
        """For n IDs heard around one UTC day: band ids (-1: nobody's) and the UTC seconds at
        which the ID's slot began (-1: nobody's, or of a chain that the band had left). today: the
        UTC day now, which bounds the search."""
        high, low = _split(ids)
        order = np.argsort(high)  # a table is searched in its own order in half the time
        high, low = high[order], low[order]
        chains = np.zeros(len(ids), np.int64)
        due = np.full(len(ids), -1, np.int64)
        days = range(today - LOOK_BACK_DAYS, today + _AHEAD_DAYS + 1)  # as `covers` says
        for day in sorted(days, key=lambda d: abs(d - heard_day)):
            open_ = np.flatnonzero(chains == 0)
            if not len(open_):
                break
            for part in self._day(day).parts:
                at, good = _look(part, high[open_], low[open_])
                hit = open_[good]
                chains[hit] = part.chain[at[good]]
                due[hit] = day * bluezone.DAY_S + part.slot[at[good]] * np.int64(bluezone.SLOT_S)
        # The chain that a band left is public: its later IDs are somebody else's doing.
        due[due >= self._until[chains] + bluezone.SLOT_S] = -1
        band = np.empty_like(chains)
        band[order], due[order] = self._band[chains], due.copy()
        return band, due

    def _day(self, day: int) -> _Day:
        table = self._days.get(day)
        if table is None:
            table = self._days[day] = self._load(day) or _Day([])
            for old in [d for d in self._days if d < day - 2 * LOOK_BACK_DAYS]:
                del self._days[old]
        if table.upto < self.newest:
            new = [chain for chain in self._chains if chain.id > table.upto]
            table.upto = self.newest
            made = _make(day, new)
            if len(made.high):
                table.parts.append(made)
            while len(table.parts) > 1 and _near(*table.parts[-2:]):
                table.parts.append(_join([table.parts.pop(), table.parts.pop()]))
            if len(made.high) >= _KEEP_FROM:
                self._keep(day, table)
        return table

    # --- on disk ----------------------------------------------------------------------------

    def _path(self, day: int) -> Path:
        return self._cache / f"{day}.npz"

    def _keep(self, day: int, table: _Day) -> None:
        # A cache: without room it is simply not kept.
        temporary = self._cache / f"{day}.new.npz"
        with contextlib.suppress(OSError):
            self._cache.mkdir(exist_ok=True)
            np.savez(temporary, np.array([table.upto]), *_join(table.parts).columns())
            temporary.replace(self._path(day))
            for old in self._cache.glob("*.npz"):
                if old.stem.isdigit() and int(old.stem) < day - 2 * LOOK_BACK_DAYS:
                    old.unlink()

    def _load(self, day: int) -> _Day | None:
        try:
            with np.load(self._path(day)) as kept:
                upto, *columns = (kept[name] for name in kept.files)
                part = _Part(*columns)
        except (OSError, ValueError, TypeError, EOFError):
            return None
        if upto[0] > self.newest:
            return None  # another ledger's
        return _Day([part], int(upto[0]))


def _near(large: _Part, small: _Part) -> bool:
    return len(large.high) <= _MERGE * len(small.high)


def _split(ids: IdBytes) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    high = np.ascontiguousarray(ids[:, :8]).view("<u8")[:, 0]
    return high, np.ascontiguousarray(ids[:, 8:]).view("<u4")[:, 0]


def _look(
    part: _Part, high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint32]
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    # Two IDs that share 8 bytes stand side by side: the second is tried too.
    at = np.searchsorted(part.high, high)
    good = np.zeros(len(high), np.bool_)
    for step in (1, 0):
        place = np.minimum(at + step, len(part.high) - 1)
        hit = (part.high[place] == high) & (part.low[place] == low)
        at = np.where(hit, place, at)
        good |= hit
    return at, good


def _make(day: int, chains: list[KeyChain]) -> _Part:
    sha256 = hashlib.sha256
    keys: list[bytes] = []
    owners: list[int] = []
    for chain, _band, base_day, key, _until in chains:
        if not 0 <= day - base_day <= _MOST_DAYS:
            continue
        for _ in range(day - base_day):
            key = sha256(key).digest()
        sub = bluezone.first_slot_key(key)
        keys.append(sub)
        for _ in range(bluezone.SLOTS_PER_DAY - 1):
            sub = sha256(sub).digest()
            keys.append(sub)
        owners.append(chain)
    raw = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), bluezone.KEY_BYTES)
    high, low = _split(raw[:, list(bluezone.ON_AIR)])
    chain = np.repeat(np.array(owners, np.int32), bluezone.SLOTS_PER_DAY)
    slot = np.tile(np.arange(bluezone.SLOTS_PER_DAY, dtype=np.uint8), len(owners))
    return _Part(high, low, chain, slot).sorted()
