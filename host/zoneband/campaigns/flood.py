"""A mass of forged beacons and replayed IDs around one band: are its real neighbours recorded?

A round is one hour. In every listening window come 100 forged IDs that are never seen again, 20
that stay for a minute, 12 replayed ones that stay for good, all nearer than the real ones; and
eight real neighbours, who come and go by the quarter hour, seven in ten of their beacons heard.
"""

import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from zoneband.campaigns.tally import Tally
from zoneband.sim import solo
from zoneband.sim.band import Provision
from zoneband.wire import readers, records

REAL_SHARE, RING_DAYS = 0.9, 5.0
_START = 1_793_682_000
_SLOTS_OF_RING = 384 * 128  # a board of 4 MB

_SCRIPT = """
import _air, crowd, hashlib, witness
address = bytes(6)
REAL, HELD, REPLAYED, ONCE = 8, 20, 12, 100
state = {seed}
def draw(n):
    global state
    state = (state * 1103515245 + 12345) & 0x7fffffff
    return (state >> 12) % n
def named(kind, n, turn):
    return hashlib.sha256(b"{seed} %s %d %d" % (kind, n, turn)).digest()[:12]
here = {{}}
def present(n, slot):
    if (n, slot) not in here:
        here[n, slot] = hashlib.sha256(b"{seed} here %d %d" % (n, slot)).digest()[0] < 150
    return here[n, slot]
def beacons(window, now_s):
    slot = now_s // 900
    for n in range(ONCE):
        yield named(b"once", window, n), -40 - draw(20), address
    for n in range(HELD):
        yield named(b"held", n, (now_s + 3 * n) // 60), -42 - draw(12), address
    for n in range(REPLAYED):
        yield named(b"replay", n, 0), -45 - draw(8), address
    for n in range(REAL):
        if present(n, slot) and draw(10) < 7:
            yield named(b"real", n, slot), -55 - draw(8), address
crowd.install(beacons)
from band import run
from band.bandlog import BandLog
witness.watch(BandLog, "../truth", "../now")
band = run.make()
def live(until_s):
    while _air.now_us < until_s * 1000000:
        band.burst()
first = band.log.head
live({hours} * 3600)
print(first, band.log.head)
# Until the last of them are silent and written.
live({hours} * 3600 + 120)
for slot in range({hours} * 4):
    for n in range(REAL):
        if present(n, slot):
            import binascii
            print("real", binascii.hexlify(named(b"real", n, slot)).decode())
"""


def passed(tally: Tally) -> bool:
    """Whether what was measured holds its bars."""
    figures = tally.figures
    good = figures["real_share"] >= REAL_SHARE and figures["ring_days"] >= RING_DAYS
    return good and bool(figures["reported"]) and not tally.failures


def run(
    tally: Tally,
    rounds: int,
    told: Callable[[str], None] = lambda line: None,
    changes: solo.Changes = solo.NO_CHANGES,
) -> None:
    """That many hours more, of another band. changes: to the firmware, for tests of this trial."""
    with tempfile.TemporaryDirectory(prefix="zoneband-flood") as folder:
        root = Path(folder)
        compiled = solo.compile_all(root / "compiled", changes)
        facts = Provision(
            "ZB-0000-0000", _START // 86400, bytes(32), None, bytes(32), issued_utc_s=_START
        )
        band = solo.Solo(root / "band", compiled, facts)
        seed = tally.seed * 1_000_003 + tally.rounds
        lines = band.run(_SCRIPT.format(seed=seed, hours=rounds)).splitlines()
        first, head = (int(word) for word in lines[0].split())
        real = {line.split()[1] for line in lines[1:]}
        truth = (root / "band" / "truth").read_text()
    heard_s: dict[str, int] = defaultdict(int)
    reported = 0
    for line in truth.splitlines():
        record = bytes.fromhex(line.split()[2])
        if record[0] == records.ENCOUNTER:
            rid, _, duration_s, *_rest = readers.read_encounter(record)
            heard_s[rid.hex()] += duration_s
        elif record[0] == records.HEALTH:
            _, evicted, unwritten, *_rest = readers.read_health(record)
            reported += bool(evicted or unwritten)
    share = sum(min(1.0, heard_s[rid] / 900) for rid in real) / len(real)
    days = _SLOTS_OF_RING / ((head - first) / rounds * 24)
    told(f"{rounds} h: {share:.3f} of the real, the ring lasts {days:.1f} days")
    weight = tally.rounds + rounds
    before = tally.figures.get("real_share", 0.0) * tally.rounds
    tally.figures["real_share"] = round((before + share * rounds) / weight, 4)
    tally.figures["ring_days"] = round(min(tally.figures.get("ring_days", 1e9), days), 2)
    tally.figures["reported"] = min(tally.figures.get("reported", 1), int(reported >= rounds - 1))
    tally.count(rounds)
    tally.witness("\n".join(sorted(real)).encode(), truth.encode())
