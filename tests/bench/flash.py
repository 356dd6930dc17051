"""What the band log costs in flash."""

import sys
import tempfile
from pathlib import Path

from bench.rows import rows

_COUNT = 124 * 200


@rows(
    ("log_bytes_per_slot_byte", "ratio", "<=", 1.04),
    ("log_erases_per_124", "erases", "<=", 1.01),
)
def log_cost() -> dict[str, float]:
    """Bytes programmed per slot byte, headers and all; erases per 124 records."""
    from support import MemoryNvs, NorFlash

    sys.path.insert(0, str(Path(__file__).parents[2] / "firmware"))
    from band.bandlog import BandLog
    from band.openslots import OpenSlots
    from band.store import Store
    from wire import records

    with tempfile.TemporaryDirectory() as folder:
        flash = NorFlash(str(Path(folder) / "log.bin"), 384)
        log = BandLog(flash, Store(MemoryNvs()), lambda: 1, OpenSlots())
        log.mount(1)
        for n in range(_COUNT):
            log.ready(n)
            log.append(records.mark(records.DOCK, 1, 0, n))
            log.prepare(n)
    return {
        "log_bytes_per_slot_byte": flash.programmed / (_COUNT * 32),
        "log_erases_per_124": flash.erases / (_COUNT / 124),
    }


@rows(("littlefs_bytes_per_slot_byte", "ratio", None, None))
def littlefs_cost() -> dict[str, float]:
    """The same records appended to VfsLfs2 with a flush each, on a counting block device."""
    from support import run_in_vm

    code = """
import vfs
class Nor:
    def __init__(self): self.d = bytearray(b"\\xff" * 4096 * 64); self.n = 0
    def readblocks(self, b, buf, off=0):
        at = b * 4096 + off; buf[:] = self.d[at:at + len(buf)]
    def writeblocks(self, b, buf, off=0):
        at = b * 4096 + off; self.d[at:at + len(buf)] = buf; self.n += len(buf)
    def ioctl(self, op, arg):
        if op == 4: return 64
        if op == 5: return 4096
        if op == 6: self.d[arg * 4096:arg * 4096 + 4096] = b"\\xff" * 4096
        return 0
nor = Nor()
vfs.VfsLfs2.mkfs(nor)
fs = vfs.VfsLfs2(nor)
vfs.mount(fs, "/f")
nor.n = 0
f = open("/f/log", "wb")
for n in range(1000):
    f.write(bytes(32))
    f.flush()
f.close()
print(nor.n / 32000)
"""
    return {"littlefs_bytes_per_slot_byte": float(run_in_vm(code, heap="400wK"))}
