"""A made city whose truth is known: who was near whom, when, and so whom a tracer must find.

People live in households of 1 to 6, street by street. Somewhat more than half of them work, in
teams of 6 within halls of 60, with others of their neighbourhood, and go there by bus; each 200
have a market of their own. A day, in Vietnam's time:

    06:00 and 18:40   at home: all of a household near each other, 20 to 30 and 30 to 65 min
    07:00             in the bus, 25 to 40 min: near whoever sits beside one, 19 days of 20 the same
                      person; others of the bus are heard from farther away
    08:15             at work: every other day a team sits together for 25 to 60 min; some of the
                      hall are heard for 15 to 60 min, but not near
    17:00             at the market: stalls side by side are near each other for an hour; a buyer is
                      near one seller for 2 to 4 min, and heard by other buyers

At night bands are in docks. Near is 38 to 50 dB, else it is 57 to 75 dB: within 2 m by the default
rule set, or clearly not. Bands hear each other as the firmware records it: 5 minutes a record when
near, else 15, on both sides but for one meeting in twenty, which one side alone recorded.

Whether a chain of contacts is right can then be told from the meetings alone, without the exposure
rule: `reach` answers whom it must find, and whom it may (near for some 15 minutes).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from zoneband.server import store

Ints = npt.NDArray[np.int64]
DAY_S = 86_400
_UTC_S = 7 * 3600
_WORKERS = 0.55
# Minutes near in 24 hours: below the first nobody must be found, above the second everybody.
_UNSURE_MIN = (9, 21)


class Meetings(NamedTuple):
    """Two bands (numbers from 1) near each other or not, from and to (UTC seconds)."""

    a: Ints
    b: Ints
    from_s: Ints
    to_s: Ints
    near: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class City:
    """bands: how many; first_day: UTC day since 1970 whose Vietnamese day is the first."""

    bands: int = 10_000
    days: int = 14
    first_day: int = 20_740
    seed: int = 5

    @property
    def from_s(self) -> int:
        """Midnight in Vietnam of the first day, UTC seconds."""
        return self.first_day * DAY_S - _UTC_S

    @property
    def to_s(self) -> int:
        """Midnight in Vietnam after the last day."""
        return self.from_s + self.days * DAY_S

    # --- who belongs together ---------------------------------------------------------------

    def _homes(self) -> list[Ints]:
        # Households, street by street.
        rng = np.random.default_rng([self.seed, 1])
        order = rng.permutation(self.bands) + 1
        found: list[Ints] = []
        at = 0
        while at < self.bands:
            size = int(rng.choice(np.array((1, 2, 3, 3, 4, 4, 5, 6))))
            found.append(order[at : at + size])
            at += size
        return found

    def _groups(self, name: int, people: Ints, block: int, size: int) -> list[Ints]:
        # Groups of people who live near each other: blocks of neighbours, shuffled within.
        rng = np.random.default_rng([self.seed, name])
        found: list[Ints] = []
        for at in range(0, len(people), block):
            mixed = rng.permutation(people[at : at + block])
            found += [mixed[i : i + size] for i in range(0, len(mixed), size)]
        return found

    # --- a day ------------------------------------------------------------------------------

    def meetings(self, day: int) -> Meetings:
        """All meetings of one day (0 is the first)."""
        rng = np.random.default_rng([self.seed, 100, day])
        midnight = self.from_s + day * DAY_S
        parts: list[Meetings] = []

        def add(pairs: Ints, begin: Any, minutes: Any, near: bool) -> None:
            count = len(pairs)
            if not count:
                return
            start = midnight + np.broadcast_to(begin, count).astype(np.int64)
            length = np.broadcast_to(minutes, count).astype(np.int64) * 60
            flags = np.full(count, near)
            parts.append(Meetings(pairs[:, 0], pairs[:, 1], start, start + length, flags))

        homes = self._homes()
        street = np.concatenate(homes)
        works = np.random.default_rng([self.seed, 2]).random(self.bands) < _WORKERS
        workers = street[works]
        for home in homes:
            pairs = _pairs(home)
            add(pairs, 6 * 3600 + rng.integers(0, 600), rng.integers(20, 31), True)
            add(pairs, 18 * 3600 + 2400 + rng.integers(0, 1800), rng.integers(30, 66), True)
        for bus in (workers[at : at + 20] for at in range(0, len(workers), 20)):
            begin = 7 * 3600 + rng.integers(0, 600)
            seats = bus if rng.random() < 0.95 else rng.permutation(bus)
            even = len(seats) // 2 * 2
            beside = seats[:even].reshape(-1, 2)
            add(beside, begin, rng.integers(25, 41), True)
            add(_others(bus, beside, 0.2, rng), begin, rng.integers(10, 26), False)
        for hall in self._groups(3, workers, 120, 60):
            teams = [hall[at : at + 6] for at in range(0, len(hall), 6)]
            together = [_pairs(team) for team in teams]
            for number, pairs in enumerate(together):
                if (day + number) % 2:
                    begin = 11 * 3600 + rng.integers(0, 3600)
                    add(pairs, begin, rng.integers(25, 61), True)
            others = _others(hall, np.concatenate(together), 0.08, rng)
            begin = 8 * 3600 + 900 + rng.integers(0, 2 * 3600, len(others))
            add(others, begin, rng.integers(15, 61, len(others)), False)
        for market in self._groups(4, street, 200, 200):
            sellers, buyers = market[:12], market[12:]
            stalls = np.stack([sellers[:-1:2], sellers[1::2]], axis=1)
            add(stalls, 17 * 3600 + rng.integers(0, 600), 60, True)
            there = buyers[rng.random(len(buyers)) < 0.3]
            begin = 17 * 3600 + 900 + rng.integers(0, 2400, len(there))
            if len(sellers) and len(there):
                bought = np.stack([there, rng.choice(sellers, len(there))], axis=1)
                add(bought, begin, rng.integers(2, 5, len(there)), True)
                heard = np.stack([there[:-1], there[1:]], axis=1)
                add(heard, begin[:-1], rng.integers(5, 16, len(heard)), False)
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return Meetings(*columns)

    def records(self, day: int) -> store.Columns:
        """What the bands recorded of a day's meetings, as the store's columns."""
        rng = np.random.default_rng([self.seed, 200, day])
        met = self.meetings(day)
        # One side alone: 1 the first, 2 the second, else both.
        alone = rng.integers(0, 40, len(met.a))
        sides: list[dict[str, Ints]] = []
        for side, (mine, other) in enumerate(((met.a, met.b), (met.b, met.a)), start=1):
            kept = np.flatnonzero(alone != side)
            size = np.where(met.near[kept], 300, 900)
            length = met.to_s[kept] - met.from_s[kept]
            chunks = -(-length // size)
            row = np.repeat(kept, chunks)
            size = np.repeat(size, chunks)
            place = np.arange(len(row)) - np.repeat(np.cumsum(chunks) - chunks, chunks)
            begin = met.from_s[row] + place * size + rng.integers(0, 6, len(row))
            end = np.minimum(met.from_s[row] + (place + 1) * size, met.to_s[row])
            near = met.near[row]
            level = np.where(near, rng.normal(44, 3, len(row)), rng.normal(66, 4, len(row)))
            level = np.where(near, np.clip(level, 38, 50), np.clip(level, 57, 75))
            mean = -20 - np.rint(level).astype(np.int64)
            duration = np.maximum(end - begin, 0)
            sides.append(
                {
                    "observer": mine[row], "contact": other[row], "start_s": begin,
                    "duration_s": duration, "sightings": np.maximum(1, duration // 4),
                    "rssi_mean": mean, "rssi_max": mean + rng.integers(2, 9, len(row)),
                }
            )  # fmt: skip
        columns: store.Columns = {
            name: np.concatenate([side[name] for side in sides]) for name in sides[0]
        }
        order = np.lexsort((columns["start_s"], columns["observer"]))
        columns = {name: values[order] for name, values in columns.items()}
        count = len(order)
        columns["due_s"] = columns["start_s"] // 900 * 900
        columns["run_s"] = columns["start_s"] - self.from_s
        columns["boot_id"] = columns["log_id"] = columns["observer"]
        columns["clock"] = np.full(count, 2)
        columns["sector"], columns["slot"] = np.arange(count) // 124, 4 + np.arange(count) % 124
        columns["shares"] = np.where(columns["rssi_mean"] > -72, 0xFF3, 0x000)
        columns["rotating_id"] = rng.integers(0, 256, (count, 12), np.uint8)
        return columns

    def write(self, root: Path) -> tuple[list[tuple[int, str, int]], int]:
        """Write it as segments, by the UTC day of each record: ((day, path below root, rows) of
        each, rows in all)."""
        found: list[tuple[int, str, int]] = []
        for day in range(self.days):
            columns = self.records(day)
            of = columns["start_s"] // DAY_S
            for utc_day in np.unique(of).tolist():
                part = {name: values[of == utc_day] for name, values in columns.items()}
                found.append((utc_day, store.write(root, utc_day, part), len(part["start_s"])))
        return found, sum(rows for _day, _path, rows in found)

    # --- the truth --------------------------------------------------------------------------

    def cases(self, count: int, days: int) -> list[tuple[int, int, int]]:
        """(band, from, to) of cases, each infectious for some whole days."""
        rng = np.random.default_rng([self.seed, 300])
        bands = rng.choice(self.bands, count, replace=False) + 1
        first = rng.integers(0, self.days - days + 1, count)
        return [
            (int(band), from_s := self.from_s + int(day) * DAY_S, from_s + days * DAY_S)
            for band, day in zip(bands, first, strict=True)
        ]

    def truth(self) -> "Truth":
        """Who was near whom."""
        near: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for day in range(self.days):
            met = self.meetings(day)
            rows = zip(*(column[met.near].tolist() for column in met[:4]), strict=True)
            for a, b, from_s, to_s in rows:
                near[a].append((b, from_s, to_s))
                near[b].append((a, from_s, to_s))
        return Truth(near)


class Truth:
    """The near meetings of each band: (other band, from, to)."""

    def __init__(self, near: dict[int, list[tuple[int, int, int]]]) -> None:
        self._near = near

    def reach(
        self, cases: Iterable[tuple[int, int, int]], degrees: int, until_s: int
    ) -> tuple[list[set[int]], list[set[int]]]:
        """Bands within each degree or nearer of any case: whom a trace must find, and whom it may.
        until_s: to when contacts of contacts are looked for."""
        sure, may = (self._spread(list(cases), degrees, until_s, wide) for wide in (False, True))
        return sure, may

    def _spread(
        self, cases: list[tuple[int, int, int]], degrees: int, until_s: int, wide: bool
    ) -> list[set[int]]:
        # wide: whoever may count does, from the earliest moment on.
        seen = {band for band, _from_s, _to_s in cases}
        sources, reached = cases, set[int]()
        out: list[set[int]] = []
        for _degree in range(degrees):
            new: dict[int, int] = {}
            for band, from_s, to_s in sources:
                for other, exposed_s in self._called(band, from_s, to_s, wide):
                    if other not in seen:
                        new[other] = min(new.get(other, exposed_s), exposed_s)
            seen |= new.keys()
            reached |= new.keys()
            out.append(set(reached))
            sources = [(band, exposed_s, until_s) for band, exposed_s in new.items()]
        return out

    def _called(self, band: int, from_s: int, to_s: int, wide: bool) -> Iterable[tuple[int, int]]:
        met: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for other, begin, end in self._near[band]:
            begin, end = max(begin, from_s), min(end, to_s)
            if begin < end:
                met[other].append((begin, end))
        least = _UNSURE_MIN[0 if wide else 1] * 60
        for other, spans in met.items():
            spans.sort()
            most = max(
                sum(end - begin for begin, end in spans[i:] if begin < first + DAY_S)
                for i, (first, _) in enumerate(spans)
            )
            if most >= least:
                # By the rule the exposure begins with the window of 5 minutes.
                yield other, spans[0][0] - (300 if wide else 0)


def _pairs(group: Ints) -> Ints:
    first, second = np.triu_indices(len(group), 1)
    return np.stack([group[first], group[second]], axis=1)


def _others(group: Ints, near: Ints, share: float, rng: np.random.Generator) -> Ints:
    # Some of the pairs of a group that are not near each other.
    pairs = _pairs(group)
    pairs = pairs[rng.random(len(pairs)) < share]
    known = {frozenset(pair) for pair in near.tolist()}
    return pairs[np.array([frozenset(pair) not in known for pair in pairs.tolist()], bool)]
