"""Power that goes at any byte of flash, NVS, RTC memory or a file: while a band logs, is docked,
updates and starts a new version.

A round is one cut. Each band lives through a hundred, is then switched on and off in a row with
nothing between, the first one a thousand times, and is held against its ground truth.
"""

import random
from collections.abc import Callable

from zoneband.campaigns.life import START_ONLY, Life
from zoneband.campaigns.releases import Releases
from zoneband.campaigns.tally import Tally
from zoneband.campaigns.workers import lives
from zoneband.sim import keys, solo
from zoneband.sim.band import WDT_RESET

CUTS_PER_BAND = 100
_POWER_UPS, FIRST_POWER_UPS = 10, 1000
# Bytes that the power lasts for: an hour of logging programs about as many, a dock a few, a new
# version until it is settled fewer still.
_LOG_BYTES, _DOCK_BYTES, _TRIAL_BYTES = 16_000, 2_500, 1_500
_RETIRE_BYTES = 12_000  # two erases among them
_BURSTS, _TRIES = 240, 20
RETIRE_SHARE, _RETIRE_CUTS = 0.3, 3
_DOCK_SHARE, _ORDER_SHARE, _RESET_SHARE = 0.25, 0.3, 0.4
_UPDATE_SHARE, _OVERTAKEN_SHARE = 0.15, 0.2

Told = Callable[[str], None]


def run(
    tally: Tally,
    rounds: int,
    told: Told = lambda line: None,
    changes: solo.Changes = solo.NO_CHANGES,
) -> None:
    """That many cuts more, and as many power-ups as belong to them. changes: to the firmware, for
    tests of this trial."""
    lives(tally, rounds, CUTS_PER_BAND, told, changes, _live, keys.SIGNER)


def _live(tally: Tally, life: Life, compiled: solo.Compiled, cuts: int) -> None:
    releases = Releases(compiled)
    for _cut in range(cuts):
        if not _one(life, releases):
            tally.count(0, bricked=1)
            break
        tally.count(1)
    whole = cuts == CUTS_PER_BAND
    for _on in range(FIRST_POWER_UPS if whole and life.number == 0 else _POWER_UPS):
        life.log(0, script=START_ONLY)
        life.now_us += 5_000_000
        life.power_lost()
    if life.rng.random() < RETIRE_SHARE:
        _retire(life)


def _one(life: Life, releases: Releases) -> bool:
    # False for a band that writes nothing any more.
    rng = life.rng
    for _ in range(_TRIES):
        # Until the cut falls into this life: a short dock may be over before.
        cuts, restarts = len(life.cuts), life.restarts
        kind = rng.random()
        if kind < _UPDATE_SHARE:
            _update(life, releases)
        elif kind < _UPDATE_SHARE + _DOCK_SHARE:
            if rng.random() < _ORDER_SHARE:
                life.server.orders.make(life.serial, "rekey")
            life.dock(cut=rng.randrange(1, _DOCK_BYTES))
        else:
            life.log(_BURSTS, cut=rng.randrange(1, _LOG_BYTES))
        if life.restarts > restarts:
            # A new version, or the way back; no power-up comes between. Its first minutes.
            life.log(_BURSTS, cut=rng.randrange(1, _TRIAL_BYTES))
        _start_anew(life, rng)
        if len(life.cuts) > cuts:
            return True
    return False


def _retire(life: Life) -> None:
    # At the end of its life; what it holds can still be pulled.
    life.server.orders.make(life.serial, "retire")
    life.retired = True
    for _ in range(_RETIRE_CUTS):
        life.dock(cut=life.rng.randrange(1, _RETIRE_BYTES))
        _start_anew(life, life.rng)


def _update(life: Life, releases: Releases) -> None:
    # A cut early, anywhere in the file, or about its end and the choice of the other place.
    rng = life.rng
    restarts = life.restarts
    bundle = releases.newest
    there = max((path.stat().st_size for path in life.band.root.glob("?.new")), default=0)
    left = max(1, len(bundle.app) - there)
    lasts = rng.choice((0, rng.randrange(left), left)) + rng.randrange(1, _DOCK_BYTES)
    life.dock(cut=lasts, bundle=bundle)
    if life.restarts > restarts or rng.random() < _OVERTAKEN_SHARE:
        # It has this one; or a newer one comes before it has, or after it undid this one.
        releases.release()


def _start_anew(life: Life, rng: random.Random) -> None:
    if rng.random() < _RESET_SHARE:
        life.reset(WDT_RESET)
    else:
        life.power_lost()
