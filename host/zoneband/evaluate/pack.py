"""What bands would have kept of a scene's sightings: their 24-byte records, read back.

The firmware's own table closes the encounters and the shared codec packs them, so what a band
cannot store (single sightings, the order of levels within an encounter, more encounters than a
slot's quota) is lost here as it is on a wrist. IDs rotate at every 15 minutes of UTC. How seldom
a band listens is not modelled: a scene holds what its phones heard.
"""

import functools
import hashlib
import importlib
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from zoneband.evaluate.scene import Pair, Scene, Sighting, pair
from zoneband.flash.app import FIRMWARE
from zoneband.tracing.query import Evidence
from zoneband.wire import bluezone, readers, records, settings

# How often a band's main loop sweeps the table, and the type of its beacons (random address).
_SWEEP_S = settings.RANGES["period_ms"][0] / 1000
_ADV_NONCONN = 3
_RANDOM = 1
_TIME_GOOD = 2


@functools.cache
def _encounters() -> Callable[[], Any]:
    # Its modules name each other from the top, as on a band.
    sys.path.insert(0, str(FIRMWARE))
    try:
        return importlib.import_module("band.encounters").Encounters
    finally:
        sys.path.remove(str(FIRMWARE))


class _Band:
    """The part of a band that makes records of what it hears; base_s: the Unix second at which
    its run time began, at the edge of a slot."""

    def __init__(self, base_s: int) -> None:
        self._base_s = base_s
        self._encounters = _encounters()()
        self._slot = 0
        self._due_s = 0.0
        self.written: list[bytes] = []

    def hear(self, sighting: Sighting) -> None:
        at_s = sighting.at_s - self._base_s
        while self._due_s <= at_s:
            self._turn()
            if not self._encounters.open:
                # Nothing is left that could close: the turns until the sighting may be left out.
                skipped = (at_s - self._due_s) // _SWEEP_S + 1
                self._due_s += max(0.0, skipped) * _SWEEP_S
        data = bluezone.beacon(_rotating_id(sighting.emitter, int(sighting.at_s)))
        at = bluezone.find_id(data)
        self._encounters.seen(_ADV_NONCONN, _RANDOM, sighting.rssi, data, at, int(at_s))

    def end(self) -> None:
        """Live on until the last encounter is written."""
        self._turn()
        while self._encounters.open:
            self._turn()

    def _turn(self) -> None:
        # What the main loop does around a listening window.
        now_s = int(self._due_s)
        if now_s // bluezone.SLOT_S != self._slot:
            self._slot = now_s // bluezone.SLOT_S
            self._encounters.slot_end(now_s, self._write)
        self._encounters.sweep(now_s, self._write)
        self._due_s += _SWEEP_S

    def _write(self, rid: bytes, start_s: int, *rest: int) -> None:
        self.written.append(records.encounter(rid, start_s, *rest))


def _rotating_id(emitter: str, at_s: int) -> bytes:
    slot = at_s // bluezone.SLOT_S
    return hashlib.sha256(f"{slot} {emitter}".encode()).digest()[: bluezone.ID_BYTES]


def pack(scene: Scene) -> dict[Pair, list[Evidence]]:
    """The records that the scene's devices would have as bands, by pair, in the order of time.
    An Evidence's observer and contact are the device's place in the sorted names of the pair's."""
    heard: dict[str, list[Sighting]] = defaultdict(list)
    for sighting in sorted(scene.sightings, key=lambda s: s.at_s):
        heard[sighting.observer].append(sighting)
    found: dict[Pair, list[Evidence]] = defaultdict(list)
    for observer, mine in heard.items():
        base_s = int(mine[0].at_s) // bluezone.SLOT_S * bluezone.SLOT_S
        band = _Band(base_s)
        emitters: dict[bytes, str] = {}
        for sighting in mine:
            emitters[_rotating_id(sighting.emitter, int(sighting.at_s))] = sighting.emitter
            band.hear(sighting)
        band.end()
        for record in band.written:
            emitter = emitters[readers.read_encounter(record)[0]]
            both = pair(observer, emitter)
            found[both].append(_evidence(record, base_s, both.index(observer)))
    return found


def _evidence(record: bytes, base_s: int, observer: int) -> Evidence:
    _, start_s, duration_s, count, mean, top, _, _ = readers.read_encounter(record)
    return Evidence(
        observer=observer,
        contact=1 - observer,
        start_s=base_s + start_s,
        duration_s=duration_s,
        sightings=count,
        rssi_mean=mean,
        rssi_max=top,
        due_s=base_s + start_s,
        clock=_TIME_GOOD,
        log_id=0,
        sector=0,
        slot=0,
    )
