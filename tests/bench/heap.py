"""Whether a band's heap grows in a crowd."""

import os
import subprocess
import tempfile
from pathlib import Path

from bench.rows import rows

# The whole firmware in one VM, its stand-ins without an air: time passes as the band waits, and
# every listening window brings a beacon of a third of 200 advertisers (so many come through in a
# crowd), whose IDs change as bands' do.
_CODE = """
import gc
# Compiling wants more room than running: on a board the modules come compiled.
for name in (
    "band.app", "band.encounters", "band.ring", "band.session", "wire.messages", "wire.records",
    "band.keys", "band.radio", "band.clock", "band.config", "band.provision",
):
    gc.collect()
    __import__(name)
gc.collect()
import _air, bluetooth, esp32
from band.provision import provision
from band.ring import BandLog
from band.store import Store
from wire import bluezone, records

DAY = 20760
provision(esp32, "ZB-0000-0000", {"name": "virtual"}, DAY, "01" * 32, "02" * 32, "03" * 32)
store = Store(esp32.NVS("zoneband"))
store.put("state", records.ISSUED)
log = BandLog(esp32.Partition.find(1, label="bandlog")[0], store, lambda: 7)
log.mount(1, 0, False)
log.ready(0)
log.append(records.clock(0, 0, records.SOURCE_RUNNING, 0, DAY * 86400 + 60, 0, 0, 0))
del log

beacon = bytearray(bluezone.beacon(bytes(12)))
beacon_view = memoryview(beacon)
address = bytearray(6)
address_view = memoryview(address)

Real = bluetooth.BLE

class Crowd(Real):
    windows = 0

    def gap_scan(self, *args):
        Real.gap_scan(self, *args)
        if args[0] is None or not self._handler:
            return
        era = _air.now_us // 900000000
        beacon[12] = era & 255
        Crowd.windows += 1
        for n in range(Crowd.windows * 7 % 3, 200, 3):
            beacon[11] = n
            address[0] = n
            self._handler(5, (1, address_view, 2, -50 - n % 45, beacon_view))

    def _command(self, opcode, params=b""):
        return 0

bluetooth.BLE = Crowd
Crowd._one = None
with open("main.py") as f:
    source = f.read()
source = source[:source.rindex("def main()")]
gc.collect()
exec(source)
del source
gc.collect()
band = make()
assert band.active(), "not handed out"
used = []
for hour in range(24):
    while _air.now_us < (hour + 1) * 3600000000:
        band.burst()
    gc.collect()
    used.append(gc.mem_alloc())
    print(hour, used[-1], band.radio.handler_errors, band.encounters.open)
assert band.radio.handler_errors == 0
print(used[23] - used[1])
"""


@rows(("heap_slope_200", "bytes", "<=", 0), large=True)
def slope() -> dict[str, float]:
    """Bytes in use after gc.collect() in the last hour of a simulated day less those in its second,
    among 200 advertisers, in a heap of 64 k words with a table of 256 slots."""
    from support import ROOT, VM

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        for item in ("main.py", "band", "wire"):
            (root / item).symlink_to(ROOT / "firmware" / item)
        vm = ROOT / "host" / "zoneband" / "sim" / "vm"
        done = subprocess.run(
            [str(VM), "-X", "heapsize=64wK", "-c", _CODE],
            cwd=root,
            env=os.environ | {"MICROPYPATH": f"{vm}:.frozen:{root}", "ZB_RESET_CAUSE": "1"},
            capture_output=True,
            text=True,
            timeout=1800,
        )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    return {"heap_slope_200": float(done.stdout.split()[-1])}
