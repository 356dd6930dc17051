"""Where a virtual band's flash lies: one file a partition, or the one file of a flashed chip.

A flashed chip's file begins with what esptool wrote, and its partition table says what is where,
as on hardware. ZB_DIR is the band's own folder as the VM sees it.
"""

import struct

import uos
from nor import NorFlash

DIR = uos.getenv("ZB_DIR") or ".."
_TABLE = 0x8000
_CHIP = uos.getenv("ZB_FLASH")
_ALONE = {"nvs": 6, "bandkeys": 2, "bandlog": int(uos.getenv("ZB_LOG_SECTORS") or "384")}


def entries():
    """(type, subtype, offset, size, label) of each partition in the table; [] without a chip."""
    found = []
    if _CHIP:
        with open(_CHIP, "rb") as f:
            f.seek(_TABLE)
            while True:
                magic, kind, subtype, at, size, label = struct.unpack("<2sBBLL16s", f.read(28))
                f.read(4)
                if magic != b"\xaaP":
                    break
                found.append((kind, subtype, at, size, label.rstrip(b"\x00").decode()))
    return found


def flash(label, kind=NorFlash):
    """The flash of a data partition, None when there is none of that name."""
    if not _CHIP:
        return kind(DIR + "/" + label + ".bin", _ALONE[label]) if label in _ALONE else None
    for each in entries():
        if each[0] == 1 and each[4] == label:
            return kind(_CHIP, each[3] // 4096, each[2])
    return None
