"""The exposure of one contact: from both bands' records of each other to minutes and a verdict.

The records are pooled in windows of 5 minutes: a window's level is the mean of all sightings in it,
of either side, and a minute of it weighs what the rule set says of that attenuation. Minutes are
the covered ones, the two sides together, not added. Pooling both sides is worth more than any other
choice of statistic; no attenuation tells metres, so the answer is minutes and levels.

contacts.sql counts the same for many cases at once: what is changed here is changed there.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoneband.tracing.attenuation import TX_LEVEL_DBM, attenuation_db
from zoneband.tracing.query import Evidence
from zoneband.tracing.rules import DAY_S, RuleSet

# A sighting stands for the seconds until the next window in which it could be heard again.
SIGHTING_S = 4
# Midnight in Vietnam is 17:00 UTC.
_MIDNIGHT_S = 7 * 3600


@dataclass
class _Window:
    """What fell into one window. share: sightings; level: sightings times attenuation."""

    start_s: int
    share: float = 0.0
    level: float = 0.0
    covered_s: int = 0
    closest_db: float | None = None
    case_side: bool = False
    other_side: bool = False
    weight: int = 0
    near: bool = False

    @property
    def attenuation_db(self) -> float | None:
        # Rounded, so that a mean right at the threshold does not hang on the order of a sum.
        return round(TX_LEVEL_DBM - self.level / self.share, 6) if self.share else None

    @property
    def day_s(self) -> int:
        return local_day_s(self.start_s)

    def as_json(self) -> dict[str, Any]:
        db = self.attenuation_db
        sides = ("both" if self.other_side else "case") if self.case_side else "contact"
        return {
            "start_s": self.start_s,
            "minutes": round(self.covered_s / 60, 2),
            "attenuation_db": None if db is None else round(db, 1),
            "mean_dbm": None if db is None else round(TX_LEVEL_DBM - db, 1),
            "weight": self.weight / 1000,
            "near": self.near,
            "sides": sides if db is not None else None,
        }


def judge(
    rule: RuleSet,
    rows: Sequence[Evidence],
    from_s: int,
    to_s: int,
    case: int | None = None,
    offsets: Mapping[int, int] | None = None,
) -> dict[str, Any]:
    """One contact's figures from the records of both sides within [from_s, to_s).

    case: the band whose contact it is, the first record's observer unless given; offsets: dB to
    add to what bands report and to how they are heard, by band id (attenuation.board_offsets).

    near_min: minutes within the first step; weighted_min: all that count, with their weights;
    most_min: the most of these in any period of the rule set, which must_call goes by; exposed_s:
    when the first that counts began, None without; dropped: Vietnam's days that do not count, as
    {"code": "dropped_short", "day_s", "minutes"} or {"code": "dropped_far", "day_s",
    "closest_db"}. sides of a window: whose band recorded it, "both", "case" or "contact", None
    where a pause was bridged. Minutes are rounded, what must_call goes by is not."""
    if case is None and rows:
        case = rows[0].observer
    windows, spans = _pool(rule, rows, from_s, to_s, case, offsets or {})
    dropped = _weigh(rule, windows)
    counted = [w for w in windows if w.weight]
    merged = merge(spans, rule.bridge_s)
    first_s = merged[0][0] if merged else from_s
    most = _most(rule, counted)
    closest = [w.closest_db for w in windows if w.closest_db is not None]
    return {
        "first_s": first_s,
        "last_s": merged[-1][1] if merged else from_s,
        "exposed_s": max(counted[0].start_s, first_s) if counted else None,
        "near_min": round(sum(w.covered_s for w in windows if w.near) / 60, 1),
        "weighted_min": round(sum(w.covered_s * w.weight for w in counted) / 60_000, 1),
        "most_min": round(most / 60_000, 1),
        "total_min": round(sum(w.covered_s for w in windows) / 60, 1),
        "closest_db": min(closest, default=None),
        "rssi_max": max((row.rssi_max for row in rows), default=-127),
        "records": len(rows),
        "must_call": most >= rule.needed,
        "dropped": dropped,
        "windows": [w.as_json() for w in windows],
    }


def spans_of(
    rows: Sequence[Evidence], from_s: int, to_s: int
) -> Iterator[tuple[Evidence, int, int]]:
    """Each record with its begin and end (UTC seconds) within [from_s, to_s), if it has any."""
    for row in rows:
        start = max(row.start_s, from_s)
        end = min(row.start_s + max(row.duration_s, SIGHTING_S), to_s)
        if end > start:
            yield row, start, end


def merge(spans: Sequence[tuple[int, int]], bridge_s: int) -> list[tuple[int, int]]:
    """Spans of time in order, those that touch or are at most bridge_s apart made one."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1] + bridge_s:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def local_day_s(utc_s: int) -> int:
    """When the day in Vietnam that holds a moment began, in UTC seconds."""
    return utc_s - (utc_s + _MIDNIGHT_S) % DAY_S


def _pool(
    rule: RuleSet,
    rows: Sequence[Evidence],
    from_s: int,
    to_s: int,
    case: int | None,
    offsets: Mapping[int, int],
) -> tuple[list[_Window], list[tuple[int, int]]]:
    # Windows in order, and the spans that the records cover.
    found: dict[int, _Window] = {}
    size = rule.window_s

    def window(start_s: int) -> _Window:
        return found.setdefault(start_s, _Window(start_s))

    spans: list[tuple[int, int]] = []
    for row, start, end in spans_of(rows, from_s, to_s):
        spans.append((start, end))
        length = max(row.duration_s, SIGHTING_S)
        add = 0
        if offsets:
            bands = (row.observer_band, row.contact_band)
            if row.observer_band < 0:
                bands = (row.observer, row.contact)
            add = sum(offsets.get(band, 0) for band in bands)
        level, closest = row.rssi_mean + add, attenuation_db(row.rssi_max, add)
        for at in range(start - start % size, end, size):
            into = window(at)
            share = row.sightings / length * (min(end, at + size) - max(start, at))
            into.share += share
            into.level += share * level
            if into.closest_db is None or closest < into.closest_db:
                into.closest_db = closest
            if row.observer == case:
                into.case_side = True
            else:
                into.other_side = True
    for start, end in merge(spans, rule.bridge_s):
        for at in range(start - start % size, end, size):
            window(at).covered_s += min(end, at + size) - max(start, at)
    return [found[at] for at in sorted(found)], spans


def _weigh(rule: RuleSet, windows: list[_Window]) -> list[dict[str, Any]]:
    # Gives each window its weight; the days that do not count.
    days: dict[int, list[_Window]] = defaultdict(list)
    for each in windows:
        db = each.attenuation_db
        if db is not None:
            each.weight, each.near = rule.weight(db), rule.near(db)
        days[each.day_s].append(each)
    dropped: list[dict[str, Any]] = []
    for day_s, inside in days.items():
        covered_s = sum(each.covered_s for each in inside)
        heard = [each.closest_db for each in inside if each.closest_db is not None]
        closest = min(heard, default=None)
        limit = rule.drop_beyond_db
        if covered_s < rule.drop_shorter_s:
            why = {"code": "dropped_short", "day_s": day_s, "minutes": round(covered_s / 60, 1)}
        elif limit is not None and closest is not None and closest > limit:
            why = {"code": "dropped_far", "day_s": day_s, "closest_db": closest}
        else:
            continue
        dropped.append(why)
        for each in inside:
            each.weight = 0
    return dropped


def _most(rule: RuleSet, counted: list[_Window]) -> int:
    # The most weighted seconds, in thousandths, of windows that begin within one period.
    most = total = first = 0
    for last, each in enumerate(counted):
        total += each.covered_s * each.weight
        while counted[first].start_s <= each.start_s - rule.period_s:
            total -= counted[first].covered_s * counted[first].weight
            first += 1
        most = max(most, total)
        assert first <= last
    return most
