"""The exposure rule: 15 minutes within 2 m in any 24 hours.

Both bands' records are pooled in windows of 5 minutes: a window's level is the mean of all
sightings in it, and it is near when that level is at or above the threshold. Near minutes are
the covered minutes of near windows. Pooling both sides is worth more than any other choice of
statistic; no threshold on RSSI tells metres, so the answer is minutes and levels.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zoneband.tracing.query import Evidence

WINDOW_S = 300
DAY_S = 86400
# Bands hear each other every few seconds: a pause up to this is still the same meeting.
BRIDGE_S = 60
SIGHTING_S = 4


@dataclass(frozen=True)
class Rule:
    """near_dbm: mean level that stands for 2 m; near_min: minutes in any 24 h that count."""

    near_dbm: float = -72.0
    near_min: float = 15.0


def judge(rule: Rule, rows: Sequence[Evidence], from_s: int, to_s: int) -> dict[str, Any]:
    """One contact's figures from the records of both sides within [from_s, to_s)."""
    weight: dict[int, float] = defaultdict(float)
    level: dict[int, float] = defaultdict(float)
    spans: list[tuple[int, int]] = []
    for row in rows:
        start = max(row.start_s, from_s)
        end = min(row.start_s + max(row.duration_s, SIGHTING_S), to_s)
        if end <= start:
            continue
        spans.append((start, end))
        length = max(row.duration_s, SIGHTING_S)
        window = start - start % WINDOW_S
        while window < end:
            part = min(end, window + WINDOW_S) - max(start, window)
            share = row.sightings * part / length
            weight[window] += share
            level[window] += share * row.rssi_mean
            window += WINDOW_S
    covered: dict[int, int] = defaultdict(int)
    for start, end in _merge(spans):
        window = start - start % WINDOW_S
        while window < end:
            covered[window] += min(end, window + WINDOW_S) - max(start, window)
            window += WINDOW_S
    windows: list[dict[str, Any]] = []
    for window in sorted(covered):
        # Rounded, so that a mean right at the threshold does not hang on the order of a sum.
        mean = round(level[window] / weight[window], 6) if weight[window] else -127.0
        windows.append(
            {
                "start_s": window,
                "near": mean >= rule.near_dbm,
                "mean_dbm": round(mean, 1),
                "minutes": round(covered[window] / 60, 2),
            }
        )
    near = [w for w in windows if w["near"]]
    merged = _merge(spans)
    return {
        "first_s": merged[0][0] if merged else from_s,
        "last_s": merged[-1][1] if merged else from_s,
        "near_min": round(sum(w["minutes"] for w in near), 1),
        "total_min": round(sum(w["minutes"] for w in windows), 1),
        "rssi_max": max((row.rssi_max for row in rows), default=-127),
        "records": len(rows),
        "must_call": _most_in_a_day(near) >= rule.near_min,
        "windows": windows,
    }


def _merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1] + BRIDGE_S:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def _most_in_a_day(near: list[dict[str, Any]]) -> float:
    most = 0.0
    for i, first in enumerate(near):
        until = first["start_s"] + DAY_S
        most = max(most, sum(w["minutes"] for w in near[i:] if w["start_s"] < until))
    return most
