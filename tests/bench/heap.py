"""Whether a band's heap grows in a crowd."""

import tempfile
from pathlib import Path

from bench.rows import rows

_DAY = 20_760
_KEY = bytes(32)
# The whole firmware in one VM, its stand-ins without an air: time passes as the band waits, and
# every listening window brings a beacon of a third of 200 advertisers (so many come through in a
# crowd), whose IDs change as bands' do.
_LIFE = """
import gc
import _air, crowd

address = bytearray(6)
view = memoryview(address)
rotating_id = bytearray(12)

def beacons(window, now_s):
    rotating_id[1] = now_s // 900 & 255
    for n in range(window * 7 % 3, 200, 3):
        rotating_id[0] = n
        address[0] = n
        yield rotating_id, -50 - n % 45, view

crowd.install(beacons)
from band import run
gc.collect()
band = run.make()
assert band.active(), "not handed out"
first = last = 0
for hour in range({hours}):
    while _air.now_us < (hour + 1) * 3600000000:
        band.burst()
    gc.collect()
    last = gc.mem_alloc()
    if hour == 1:
        first = last
    print(hour, last, gc.mem_free(), band.encounters.open)
    assert band.radio.handler_errors == 0
print(last - first)
"""


# What a chip has in its own firmware.
_STAND_INS = """
import gc
gc.collect()
before = gc.mem_alloc()
import bluetooth, esp32, machine, nvs, select, time
gc.collect()
print(gc.mem_alloc() - before)
"""
_WORDS = 64 * 1024
_WORD_BYTES = 2  # "w" counts in them: a VM of 64 bits takes twice what a chip does


@rows(("heap_slope_200", "bytes", "<=", 0))
def slope() -> dict[str, float]:
    """Bytes in use after gc.collect() in the last hour of a simulated day less those in its second,
    among 200 advertisers, with a table of 256 slots, in a heap of 64 k words and as much as the
    stand-ins take, which on a chip take nothing."""
    from zoneband.sim.band import Provision
    from zoneband.sim.solo import Solo, compile_all

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        # Handed out by a station, in a process before, as it was days ago.
        facts = Provision("ZB-0000-0000", _DAY, _KEY, None, _KEY, issued_utc_s=_DAY * 86_400 + 60)
        band = Solo(root / "band", compile_all(root / "compiled"), facts)
        heap = _WORDS * _WORD_BYTES + int(band.run(_STAND_INS))
        out = band.run(_LIFE.format(hours=24), timeout_s=1800, heap=str(heap))
    return {"heap_slope_200": float(out.split()[-1])}
