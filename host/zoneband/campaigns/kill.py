"""`kill -9` of the server, of uploaders and of docks at random moments under load; power lost at
the server; full disks; clocks that jump.

A round is one fault, or up to three of them, while three stations dock six bands and upload. A site
lives through many; then all goes well for a while, and what the server holds must be what the bands
acknowledged, each encounter once.
"""

import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from zoneband.campaigns.nursery import NO_LIMIT, Nursery
from zoneband.campaigns.site import STATIONS, Site
from zoneband.campaigns.tally import Tally

ROUNDS_PER_SITE = 25
# A fault comes after so many batches more at the server, or after a while in which none came; and
# then at any moment of a request.
_BATCHES, _LATEST_S, _MOMENT_S = 12, 1.5, 0.03
_FULL_S = 0.3
_LARGEST = 200_000  # bytes that a file may have on a full disk
_JUMPS_S = (-400 * 86400, -3 * 86400, -3600, 600, 49 * 3600, 30 * 86400, 400 * 86400)
Told = Callable[[str], None]


def run(
    tally: Tally, rounds: int, told: Told = lambda line: None, changes: str = "", only: str = ""
) -> None:
    """That many rounds more. changes: Python that every process runs first, and only: the one
    fault that comes, for tests of this trial."""
    with Nursery(changes) as nursery:
        for at in range(0, rounds, ROUNDS_PER_SITE):
            number = -(-tally.rounds // ROUNDS_PER_SITE)
            with tempfile.TemporaryDirectory(prefix="zoneband-kill") as folder:
                _live(tally, nursery, Path(folder), number, min(ROUNDS_PER_SITE, rounds - at), only)
            told(f"{tally.rounds} ✗ {tally.failures}" if tally.failures else f"{tally.rounds} ✓")


def _live(tally: Tally, nursery: Nursery, where: Path, number: int, rounds: int, only: str) -> None:
    rng = random.Random(f"zoneband kill {tally.seed} {number}")
    site = Site(where, nursery, rng)
    wrong, before = "", tally.failures
    try:
        site.serve()
        for _round in range(rounds):
            _one(tally, site, only)
            tally.count(1)
        settled = site.settle()
        tally.count(0, hung=int(not settled))
    except RuntimeError as error:
        settled, wrong = False, str(error)
        tally.count(0, hung=1)
    end(site)
    verdict = site.judge(settled)
    crashes = site.crashes()
    tally.judge(verdict, crashes)
    if tally.failures > before and tally.evidence:
        to = tally.evidence / str(number)
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(where, to, symlinks=True)
        (to / "wrong.txt").write_text("\n\n".join((wrong, verdict.said, *crashes)))


def end(site: Site) -> None:
    """Nobody runs any more: the stations first, then the server as an operator stops it."""
    for child in site.uploaders:
        if child:
            child.kill()
    while not site.docked():
        time.sleep(0.01)
    if site.server:
        site.server.send(signal.SIGTERM)
        if not site.server.wait(10):
            site.server.kill()


def _one(tally: Tally, site: Site, only: str) -> None:
    rng = site.rng
    site.live()
    for at in range(STATIONS):
        site.dock(at)
    for _fault in range(rng.choice((1, 1, 1, 2, 3))):
        site.tend_until_batches(rng.randrange(_BATCHES), _LATEST_S)
        time.sleep(rng.uniform(0, _MOMENT_S))
        [kind] = rng.choices([*_FAULTS], [share for share, _ in _FAULTS.values()])
        kind = only or kind
        _FAULTS[kind][1](site)
        name = f"of_{kind}"
        tally.figures[name] = tally.figures.get(name, 0) + 1
    while not site.docked():
        site.tend_for(0.02)


# --- faults ---------------------------------------------------------------------------------------


def _server(site: Site) -> None:
    if site.server:
        site.server.kill()
    site.serve()


def _power(site: Site) -> None:
    site.lose_power()
    site.serve()


def _uploader(site: Site) -> None:
    child = site.uploaders[site.rng.randrange(STATIONS)]
    if child:
        child.kill()


def _dock(site: Site) -> None:
    child = site.dock(site.rng.randrange(STATIONS))
    site.tend_for(site.rng.uniform(0, 0.1))
    child.kill()


def _server_full(site: Site) -> None:
    if site.server:
        site.server.limit(site.rng.randrange(_LARGEST))
        site.tend_for(_FULL_S)
        site.server.limit(NO_LIMIT)


def _station_full(site: Site) -> None:
    at = site.rng.randrange(STATIONS)
    if child := site.uploaders[at]:
        child.limit(site.rng.randrange(_LARGEST))
    docking = site.dock(at, site.rng.randrange(_LARGEST))
    site.tend_for(_FULL_S)
    for each in (docking, site.uploaders[at]):
        if each:
            each.limit(NO_LIMIT)


def _server_clock(site: Site) -> None:
    site.server_clock.ahead_s = site.rng.choice((0, *_JUMPS_S))


def _station_clock(site: Site) -> None:
    site.rng.choice(site.station_clocks).ahead_s = site.rng.choice((0, *_JUMPS_S))


# How often each comes, and what it is.
_FAULTS: dict[str, tuple[int, Callable[[Site], None]]] = {
    "server": (24, _server),
    "power": (16, _power),
    "uploader": (22, _uploader),
    "dock": (16, _dock),
    "server_full": (8, _server_full),
    "station_full": (6, _station_full),
    "server_clock": (4, _server_clock),
    "station_clock": (4, _station_clock),
}
