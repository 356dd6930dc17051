"""A bad cable: flipped bits, lost, doubled and late bytes, and bands pulled out, over whole docks.

A round is one dock. Each band is docked forty times, logging in between, then once with all well.
"""

import random
import time
from collections.abc import Callable

from zoneband.campaigns.life import Life
from zoneband.campaigns.tally import Tally
from zoneband.campaigns.workers import lives
from zoneband.sim import solo
from zoneband.sim.solo_cable import Fate

DOCKS_PER_BAND = 40
HUNG_S = 30.0
_AT_ONCE = 12  # they mostly wait
_BURSTS = 60
_UNPLUG_SHARE = 0.15
_STALL_S = 0.4


def run(
    tally: Tally,
    rounds: int,
    told: Callable[[str], None] = lambda line: None,
    changes: solo.Changes = solo.NO_CHANGES,
) -> None:
    """That many docks more. changes: to the firmware, for tests of this trial."""
    lives(tally, rounds, DOCKS_PER_BAND, told, changes, _live, at_once=_AT_ONCE)


def _live(tally: Tally, life: Life, _compiled: solo.Compiled, docks: int) -> None:
    rng = life.rng
    for _dock in range(docks):
        life.log(_BURSTS)
        pulled = rng.uniform(0.02, 0.6) if rng.random() < _UNPLUG_SHARE else None
        began = time.monotonic()
        life.dock(fate=chaos(rng, rng.choice((0.0, 0.3, 1.0))), unplug_after_s=pulled)
        tally.count(1, hung=int(time.monotonic() - began > HUNG_S))


def chaos(rng: random.Random, how_bad: float) -> Fate:
    """A line on which, with how_bad 1, about every third kilobyte meets something."""

    def fate(data: bytes, to_band: bool) -> list[tuple[float, bytes]]:
        pieces: list[tuple[float, bytes]] = []
        for at in range(0, len(data), 64):
            piece = data[at : at + 64]
            kind = rng.random() / how_bad if how_bad else 1.0
            wait_s = 0.0
            if kind < 0.008:
                bit = rng.randrange(len(piece) * 8)
                flipped = piece[bit // 8] ^ 1 << bit % 8
                piece = piece[: bit // 8] + bytes((flipped,)) + piece[bit // 8 + 1 :]
            elif kind < 0.014:
                piece = piece[: rng.randrange(len(piece))]
            elif kind < 0.018:
                piece += piece
            elif kind < 0.020:
                wait_s = rng.uniform(0, _STALL_S)
            elif kind < 0.022:
                piece += rng.randbytes(rng.randrange(1, 80))
            pieces.append((wait_s, piece))
        return pieces

    return fate
