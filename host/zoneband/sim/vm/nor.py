"""NOR flash as a file, with the block calls of `esp32.Partition`.

Programming only clears bits, erasing is by 4 KiB; runs on MicroPython (a virtual band's flash)
and on CPython (tests). Power can be cut at any byte. Differs from silicon: a cut leaves cells
either old or new, never marginal, and a program never disturbs its neighbours.
"""

import os

SECTOR = 4096
_BLANK = b"\xff" * 128


class PowerCut(Exception):
    """Raised at the byte where the power went away; what was done before it stays done."""


class NorFlash:
    """`sectors` blocks of 4,096 bytes from `base` on in the file `path`, made erased if it is not
    there."""

    def __init__(self, path, sectors, base=0):
        self.sectors = sectors
        self._base = base
        self.erases = 0
        self._piece = bytearray(64)
        self.programmed = 0
        self.cut_after = -1  # bytes programmed or erased until the power goes, -1: never
        try:
            os.stat(path)
        except OSError:
            with open(path, "wb") as f:
                for _ in range(sectors * SECTOR // len(_BLANK)):
                    f.write(_BLANK)
        self._file = open(path, "r+b")

    def _spend(self, size):
        # How many of these bytes the power still lasts for.
        if self.cut_after < 0:
            return size
        size = min(size, self.cut_after)
        self.cut_after -= size
        return size

    def readblocks(self, block, buf, offset=0):
        """Fill buf from a block on."""
        self._file.seek(self._base + block * SECTOR + offset)
        self._file.readinto(buf)

    def writeblocks(self, block, buf, offset=0):
        """Program: bits only go from 1 to 0. Nothing is erased, unlike the two-argument call
        of an ESP32, which the band never uses."""
        size = self._spend(len(buf))
        at = self._base + block * SECTOR + offset
        # In small pieces of one buffer: a band's heap has no room to spare.
        piece = self._piece
        for done in range(0, size, len(piece)):
            count = min(len(piece), size - done)
            view = memoryview(piece)[:count]
            self._file.seek(at + done)
            self._file.readinto(view)
            for i in range(count):
                piece[i] &= buf[done + i]
            self._file.seek(at + done)
            self._file.write(view)
        if size:
            self._file.flush()
            self.programmed += size
        if size < len(buf):
            raise PowerCut

    def ioctl(self, op, arg):
        """4: block count; 5: block size; 6: erase a block."""
        if op == 4:
            return self.sectors
        if op == 5:
            return SECTOR
        if op == 6:
            size = self._spend(SECTOR)
            self._file.seek(self._base + arg * SECTOR)
            # In small pieces: a band's heap has no room for a sector.
            for at in range(0, size, len(_BLANK)):
                self._file.write(_BLANK[: size - at])
            self._file.flush()
            self.erases += 1
            if size < SECTOR:
                raise PowerCut
        return 0

    def close(self):
        """Close the file."""
        self._file.close()
