"""Power that goes away at a byte: ZB_CUT counts those programmed, erased or kept in RTC memory.

At that byte the process ends as a chip does, without another instruction of the band's program.
"""

import uos
from nor import PowerCut

_left = int(uos.getenv("ZB_CUT") or "0")


def spend(size):
    """How many of these bytes the power still lasts for."""
    global _left
    size = min(size, _left)
    _left -= size
    return size


def die():
    """The power is gone."""
    with open("/proc/self/stat") as f:
        pid = f.read().split()[0]
    uos.system("kill -9 " + pid)


def limited(kind):
    """A kind of flash that this power feeds."""

    class Limited(kind):
        def _spend(self, size):
            return spend(size)

        def writeblocks(self, block, buf, offset=0):
            try:
                kind.writeblocks(self, block, buf, offset)
            except PowerCut:
                die()

        def ioctl(self, op, arg):
            try:
                return kind.ioctl(self, op, arg)
            except PowerCut:
                die()

    return Limited
