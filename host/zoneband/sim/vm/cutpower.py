"""Power that goes away at a byte: STAND_IN_CUT counts those programmed, erased, kept in RTC memory
or, after `limit_files`, written to files.

At that byte the process ends as a chip does, without another instruction of the band's program.
"""

import uos
from nor import PowerCut

_left = int(uos.getenv("STAND_IN_CUT") or "0")


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


class _File:
    def __init__(self, file):
        self._file = file

    def write(self, data):
        kept = spend(len(data))
        self._file.write(data[:kept])
        if kept < len(data):
            die()
        return kept

    def close(self):
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


def limit_files():
    """From here on what a band writes to its file system counts too; a file gone or renamed is a
    byte. Differs from littlefs: what was written before a cut is there, closed or not."""
    import builtins
    import os

    real = builtins.open

    def limited_open(path, mode="r", **how):
        # Flash and RTC memory, by absolute names, have counted already.
        if mode[0] == "r" or path[0] == "/":
            return real(path, mode, **how)
        if not spend(1):
            die()
        return _File(real(path, mode, **how))

    def counted(work):
        def step(*args):
            # A name that is not there costs nothing.
            os.stat(args[0])
            if not spend(1):
                die()
            work(*args)

        return step

    builtins.open = limited_open
    os.remove = counted(os.remove)
    os.rename = counted(os.rename)
