"""Where a virtual band's flash lies: one file a partition, or the one file of a flashed chip.

A flashed chip's file begins with what esptool wrote, and its partition table says what is where,
as on hardware. STAND_IN_DIR is the band's own folder as the VM sees it.
"""

import uos
from nor import NorFlash

DIR = uos.getenv("STAND_IN_DIR") or ".."
_CHIP = uos.getenv("STAND_IN_FLASH")
_ALONE = {"nvs": 6, "bandkeys": 2, "bandlog": int(uos.getenv("STAND_IN_LOG_SECTORS") or "384")}


def flash(label, kind=NorFlash):
    """The flash of a data partition, None when there is none of that name."""
    if uos.getenv("STAND_IN_CUT"):
        import cutpower

        kind = cutpower.limited(kind)
    if not _CHIP:
        return kind(DIR + "/" + label + ".bin", _ALONE[label]) if label in _ALONE else None
    import chiptable

    for each in chiptable.entries(_CHIP):
        if each[0] == 1 and each[4] == label:
            return kind(_CHIP, each[3] // 4096, each[2])
    return None
