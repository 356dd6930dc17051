"""The people's places in the JSON files of DP-3T's `ground_truth`, from the cameras.

A file holds "datetime" (local times, no zone) and, for each phone's number, as many places
[x, y, z] in metres, with something else where the person was out of sight. Files of one scene begin
with its number: `ground_truth/3_…` are of scenario03.
"""

import json
import math
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import combinations, pairwise
from pathlib import Path
from statistics import median
from typing import Any

from zoneband.evaluate.scene import CannotRead, Pair, Sighting, Span, pair
from zoneband.i18n import _

_HOUR_S = 3600
_ZONES = range(-12, 15)
# Of the sightings with a distance so many are enough to know the zone.
_PROBES = 200
# A gap between two moments longer than this is no gap in the film but one between two parts.
_LONGEST_STEP_S = 10.0
_APART_S = 1.0

Place = tuple[float, float]


def beside(
    path: Path,
    seen: Mapping[Pair, Sequence[tuple[float, float]]],
    sightings: Sequence[Sighting],
) -> dict[Pair, list[Span]]:
    """Distances by pair from the folder beside a scene's file, or nothing where there is none.
    seen: (Unix seconds, metres) of the sightings that have a distance, which give the zone of the
    film's clock away. Raises CannotRead."""
    number = re.search(r"\d+", path.stem)
    if number is None:
        return {}
    of_scene = re.compile(rf"0*{int(number[0])}_.*\.json", re.IGNORECASE)
    folder = path.parent / "ground_truth"
    files = sorted(f for f in folder.glob("*.json") if of_scene.fullmatch(f.name))
    film = [moment for file in files for moment in _moments(file)]
    if not film:
        return {}
    film = _thinned(film)
    shift_s = _zone_s(film, seen, sightings)
    found: dict[Pair, list[Span]] = {}
    for (at_s, places), (next_s, _rest) in pairwise([*film, (film[-1][0], {})]):
        if not 0 < next_s - at_s <= _LONGEST_STEP_S:
            continue
        for a, b in combinations(sorted(places), 2):
            metres = math.dist(places[a], places[b])
            span = Span(at_s - shift_s, next_s - shift_s, metres)
            found.setdefault(pair(a, b), []).append(span)
    return found


def _thinned(film: list[tuple[float, dict[str, Place]]]) -> list[tuple[float, dict[str, Place]]]:
    # In order, one moment a second: people do not move faster than that matters.
    kept: list[tuple[float, dict[str, Place]]] = []
    for moment in sorted(film, key=lambda each: each[0]):
        if not kept or moment[0] - kept[-1][0] >= _APART_S:
            kept.append(moment)
    return kept


def _moments(file: Path) -> list[tuple[float, dict[str, Place]]]:
    try:
        parts: dict[str, list[Any]] = json.loads(file.read_text(encoding="utf-8"))
        times = [
            datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
            for text in parts["datetime"]
        ]
        tracks = {f"{int(who):02d}": track for who, track in parts.items() if who.isdecimal()}
        return [
            (at_s, {who: place for who, track in tracks.items() if (place := _place(track[n]))})
            for n, at_s in enumerate(times)
        ]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise CannotRead(
            _("its places in {file} cannot be read").format(file=f"{file.parent.name}/{file.name}")
        ) from error


def _place(value: Any) -> Place | None:
    if not isinstance(value, list) or len(value) < 2:
        return None
    x, y = value[:2]
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in (x, y)):
        return None
    return float(x), float(y)


def _zone_s(
    film: Sequence[tuple[float, dict[str, Place]]],
    seen: Mapping[Pair, Sequence[tuple[float, float]]],
    sightings: Sequence[Sighting],
) -> float:
    # The whole hours at which the film agrees best with the distances that the sightings carry;
    # without any, those at which it covers the most sightings.
    times = [at_s for at_s, _places in film]
    known = [(at_s, who, metres) for who, points in seen.items() for at_s, metres in points]
    probes = sorted(known)[:: max(1, len(known) // _PROBES)]

    def disagreement(shift_s: float) -> tuple[float, float]:
        gaps = [
            abs(math.dist(places[a], places[b]) - metres)
            for at_s, (a, b), metres in probes
            if (places := _at(film, times, at_s + shift_s)) and a in places and b in places
        ]
        inside = sum(times[0] <= each.at_s + shift_s <= times[-1] for each in sightings)
        # A shift at which hardly anything can be compared says nothing.
        if gaps and len(gaps) >= len(probes) / 2:
            return median(gaps), -inside
        return math.inf, -inside

    return min((hours * _HOUR_S for hours in _ZONES), key=disagreement)


def _at(
    film: Sequence[tuple[float, dict[str, Place]]], times: Sequence[float], at_s: float
) -> dict[str, Place]:
    n = bisect_left(times, at_s)
    near = [k for k in (n - 1, n) if 0 <= k < len(times) and abs(times[k] - at_s) < 1]
    return film[min(near, key=lambda k: abs(times[k] - at_s))][1] if near else {}
