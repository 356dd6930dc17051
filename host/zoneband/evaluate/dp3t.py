"""DP-3T's filmed experiments: SQLite files with a table `results`.

Public as DP-3T/bt-measurements (CC BY-ND): one file a scene, one row a sighting, with the distance
that cameras saw if they saw both people. Where the folder `ground_truth` lies beside the file it
tells the people's places, and so the distance of pairs too whose phones never heard each other.

The phones' levels are taken as they are: they sent at -20 or -21 dBm, which is what attenuation
counts from. DP-3T's own corrections by phone model (from an anechoic chamber) were tried on two
scenes and made the balanced accuracy worse by 3 to 8 points.
"""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any

from zoneband.evaluate import positions
from zoneband.evaluate.scene import (
    CannotRead,
    Form,
    OtherForm,
    Pair,
    Scene,
    Sighting,
    Span,
    check_times,
    measured,
    pair,
)
from zoneband.i18n import _
from zoneband.reasons import said

_NEEDED = ("receiver_id", "transmitter_id", "timestamp", "rssi")
_DISTANCE = "ground_truth_distance"
# A distance comes only with a sighting, and the phones listened for 20 s of every 60 s: it holds
# half way to the next one, for at most this long.
HOLD_S = 60.0
# Experiment 05 counts milliseconds, experiment 34 seconds.
_MILLISECONDS = 1e11


def is_ours(head: bytes) -> bool:
    """Whether a file that begins so is SQLite."""
    return head.startswith(b"SQLite format 3\0")


def read(path: Path) -> Scene:
    """The scene in a file. Raises CannotRead."""
    sightings: list[Sighting] = []
    seen: dict[Pair, list[tuple[float, float]]] = defaultdict(list)
    devices: set[str] = set()
    try:
        for receiver, transmitter, timestamp, rssi, metres in _rows(path):
            try:
                observer, emitter = _name(receiver), _name(transmitter)
                at_s, level = float(timestamp), int(rssi)
            except (TypeError, ValueError, OverflowError):
                continue
            if observer == emitter or not math.isfinite(at_s):
                continue
            at_s = at_s / 1000 if at_s > _MILLISECONDS else at_s
            devices.update((observer, emitter))
            if isinstance(metres, int | float) and math.isfinite(metres):
                seen[pair(observer, emitter)].append((at_s, float(metres)))
            if measured(level):
                sightings.append(Sighting(at_s, observer, emitter, level))
    except sqlite3.Error as error:
        raise CannotRead(_("a damaged SQLite file ({error})").format(error=said(error))) from error
    if not sightings:
        raise CannotRead(_("no sighting in its table results"))
    check_times([each.at_s for each in sightings])
    pairs = list(combinations(sorted(devices), 2))
    distance: Mapping[Pair, Sequence[Span]] = {each: _spans(at) for each, at in seen.items()}
    filmed = positions.beside(path, seen, sightings)
    if filmed:
        distance = {each: filmed[each] for each in pairs if each in filmed}
    group = path.resolve().parent.name
    return Scene(Form.FILMED, group, path.stem, pairs, sightings, distance)


def _rows(path: Path) -> Iterator[tuple[Any, ...]]:
    # Immutable: the file may lie where no journal can be made, and is never changed.
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        have = {str(column[1]).lower() for column in db.execute("PRAGMA table_info(results)")}
        if not have:
            raise OtherForm(_("no table results in it"))
        missing = [name for name in _NEEDED if name not in have]
        if missing:
            raise CannotRead(
                _("its table results lacks {columns}").format(columns=", ".join(missing))
            )
        distance = _DISTANCE if _DISTANCE in have else "NULL"
        yield from db.execute(f"SELECT {', '.join(_NEEDED)}, {distance} FROM results")


def _name(value: Any) -> str:
    # The same phone is 1 in one experiment and "01" in the next.
    text = str(value).strip()
    if value is None or not text:
        raise ValueError
    return f"{int(text):02d}" if text.isdecimal() else text


def _spans(seen: Sequence[tuple[float, float]]) -> list[Span]:
    points = sorted(seen)
    spans: list[Span] = []
    for n, (at_s, metres) in enumerate(points):
        before = (at_s - points[n - 1][0]) / 2 if n else HOLD_S
        after = (points[n + 1][0] - at_s) / 2 if n + 1 < len(points) else HOLD_S
        spans.append(Span(at_s - min(before, HOLD_S), at_s + min(after, HOLD_S), metres))
    return spans
