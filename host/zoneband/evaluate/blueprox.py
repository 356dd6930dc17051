"""Range-angle logs of the app BlueProx, as MIT and MITRE publish them.

Public as mitll/Range_Angle, mitll/H0H1, mitll/MIT-Matrix-Data and mkrangle/MITRE-Range-Angle-…:
text files, one line an event. Two people stand or sit at a distance that the testers measured
(`Range`, in feet; `Angle`, in degrees), and the phone of one of them writes every beacon it hears
(`Bluetooth`, the peripheral's identifier, dBm, name). The partner's phone sends under the name
BlueProxTx. Two orders are in use: time first, or, in the first logs, the event first (`BT` for
`Bluetooth`). A log is one side of a meeting; each distance in it is a measurement of its own.
"""

import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from zoneband.evaluate.scene import (
    CannotRead,
    Form,
    Pair,
    Scene,
    Sighting,
    Span,
    check_times,
    measured,
    pair,
)
from zoneband.i18n import _

FOOT_M = 0.3048
PARTNER = "BlueProxTx"
_TIME = re.compile(rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d")
_BEACON = ("Bluetooth", "BT")
# Local times without a zone (some end in Z, which is not so): taken for Vietnam's, so that a day's
# end falls at night.
_ZONE_S = 7 * 3600


@dataclass
class Stay:
    """One distance in one log; heard: the partner's beacons (Unix seconds, identifier, dBm)."""

    metres: float
    from_s: float
    to_s: float
    heard: list[tuple[float, str, int]] = field(default_factory=list[tuple[float, str, int]])


def is_ours(head: bytes) -> bool:
    """Whether a file that begins so is such a log."""
    first = head.split(b"\n", 1)[0]
    return bool(_TIME.match(first) or _TIME.match(first.partition(b",")[2]))


def stays(path: Path) -> list[Stay]:
    """What a log holds, in its order. Raises CannotRead."""
    found: list[Stay] = []
    named = False
    beacons = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for at_s, event, values in _events(lines):
            if found:
                found[-1].to_s = max(found[-1].to_s, at_s)
            if event == "Range":
                with contextlib.suppress(ValueError, IndexError):
                    metres = float(values[0]) * FOOT_M
                    if not found or found[-1].metres != metres:
                        found.append(Stay(metres, at_s, at_s))
            elif event in _BEACON:
                beacons += 1
                if len(values) < 3 or values[2] != PARTNER:
                    continue
                named = True
                with contextlib.suppress(ValueError):
                    if found:
                        found[-1].heard.append((at_s, values[0], int(values[1])))
    if not found:
        raise CannotRead(_("no Range line in it: the distance is not known"))
    if not beacons:
        raise CannotRead(_("no Bluetooth line in it"))
    if not named:
        # Whether the partner was not heard or sent under another name cannot be told.
        raise CannotRead(_("no beacon in it is named {name}").format(name=PARTNER))
    check_times([stay.from_s for stay in found] + [stay.to_s for stay in found])
    return [stay for stay in found if stay.to_s > stay.from_s]


def scenes(logs: Iterable[tuple[Path, Sequence[Stay]]]) -> list[Scene]:
    """The scenes in logs that `stays` read: a folder's logs together are one."""
    folders: dict[Path, list[tuple[Path, Sequence[Stay]]]] = defaultdict(list)
    for path, held in logs:
        folders[path.resolve().parent].append((path, held))
    names = _short_names(list(folders))
    return [_scene(names[folder], mine) for folder, mine in folders.items()]


def _short_names(folders: Sequence[Path]) -> dict[Path, str]:
    # As much of each path as tells them apart: `Close/hands` and `Far/hands`.
    names: dict[Path, str] = {}
    for folder in folders:
        length = 1
        while sum(other.parts[-length:] == folder.parts[-length:] for other in folders) > 1:
            length += 1
        names[folder] = "/".join(folder.parts[-length:])
    return names


def _scene(name: str, logs: Iterable[tuple[Path, Sequence[Stay]]]) -> Scene:
    pairs: list[Pair] = []
    sightings: list[Sighting] = []
    distance: dict[Pair, list[Span]] = {}
    lasts_s: dict[Pair, float] = {}
    for path, held in logs:
        for metres in sorted({stay.metres for stay in held}):
            # Each measurement is a pair of devices of its own: nothing is pooled across them.
            mine = [stay for stay in held if stay.metres == metres]
            observer = f"{path.name} {metres / FOOT_M:g} ft"
            emitter = f"{PARTNER} {len(pairs)}"
            both = pair(observer, emitter)
            pairs.append(both)
            distance[both] = [Span(stay.from_s, stay.to_s, metres) for stay in mine]
            lasts_s[both] = sum(stay.to_s - stay.from_s for stay in mine)
            heard = [beacon for stay in mine for beacon in stay.heard]
            sightings += [
                Sighting(at_s, observer, emitter, rssi) for at_s, rssi in _of_partner(heard)
            ]
    return Scene(Form.RANGE_ANGLE, PARTNER, name, pairs, sightings, distance, lasts_s)


def _of_partner(heard: Sequence[tuple[float, str, int]]) -> Iterator[tuple[float, int]]:
    # Other testers may be in the room: the partner is the identifier heard most, with those that
    # are never heard while one of its own is, since a phone has one at a time and changes it.
    counts = Counter(identifier for _at_s, identifier, _rssi in heard)
    own: list[tuple[float, float]] = []
    chosen: set[str] = set()
    for identifier, _count in counts.most_common():
        times = [at_s for at_s, each, _rssi in heard if each == identifier]
        first, last = min(times), max(times)
        if all(last < begin or first > end for begin, end in own):
            own.append((first, last))
            chosen.add(identifier)
    for at_s, identifier, rssi in heard:
        if identifier in chosen and measured(rssi):
            yield at_s, rssi


def _events(lines: Iterable[str]) -> Iterator[tuple[float, str, list[str]]]:
    # (Unix seconds, event, values) of each line in either order; others are passed over.
    for line in lines:
        words = [word.strip() for word in line.split(",")]
        if len(words) < 3:
            continue
        event, when = words[1], words[0]
        if not when[:1].isdigit():
            event, when = when, event
        if event not in (*_BEACON, "Range"):
            continue
        try:
            at = datetime.fromisoformat(when.rstrip("Z")).replace(tzinfo=UTC)
        except ValueError:
            continue
        yield at.timestamp() - _ZONE_S, event, words[2:]
