"""A virtual boot ROM's flash: a NOR file, and the downloads that fill it.

Differs from hardware: a download that does not fit into the flash is refused when it begins, where
a real chip's addresses would wrap around.
"""

import hashlib
import zlib
from pathlib import Path

SECTOR, ERASE_BLOCK = 4096, 65536
_INFLATE_WINDOW = 32768  # the stub programs what it inflated in pieces of this size


class Refused(Exception):
    """A command that is answered with an error: the ROM's code and the stub's."""

    def __init__(self, codes: tuple[int, int]) -> None:
        super().__init__(codes)
        self.codes = codes


BAD_LENGTH = (0x0105, 0xC000)
BAD_CHECKSUM = (0x0107, 0xC100)
UNKNOWN = (0x0105, 0xC300)
FAILED = (0x0106, 0xC400)
WRITE_FAILED = (0x0108, 0xC400)
READ_FAILED = (0x0109, 0xC400)
READ_TOO_LONG = (0x010A, 0xC000)
NOT_BEGUN = (0x0106, 0xC600)
INFLATE_FAILED = (0x010B, 0xC700)
TOO_LITTLE = (0x0105, 0xC800)
TOO_MUCH = (0x0105, 0xC900)
NOT_IMPLEMENTED = (0x0105, 0xFF00)


class RomFlash:
    """The flash's file, shared with others: every call opens it anew. Programming only clears
    bits. `known`: how large the loader takes it to be."""

    def __init__(self, path: Path, size: int) -> None:
        if size < SECTOR or size & (size - 1):
            raise ValueError(f"flash comes in powers of two, not {size} bytes")
        self.size = self.known = size
        self.erased_sectors = 0
        self.programmed_bytes = 0
        self.damage = False  # flip a bit of what is programmed next
        self._path = path
        if not path.exists():
            path.write_bytes(b"\xff" * size)
        if path.stat().st_size != size:
            raise ValueError(f"{path} has {path.stat().st_size} bytes, not {size}")

    def check(self, at: int, size: int, codes: tuple[int, int]) -> None:
        """Refuse what lies outside of the flash."""
        if at + size > min(self.size, self.known):
            raise Refused(codes)

    def read(self, at: int, size: int) -> bytes:
        """Bytes as they are now."""
        self.check(at, size, READ_FAILED)
        with self._path.open("rb") as file:
            file.seek(at)
            return file.read(size)

    def md5(self, at: int, size: int) -> bytes:
        """Of a region."""
        digest = hashlib.md5(usedforsecurity=False)
        self.check(at, size, READ_FAILED)
        with self._path.open("rb") as file:
            file.seek(at)
            while size and (data := file.read(min(size, ERASE_BLOCK))):
                digest.update(data)
                size -= len(data)
        return digest.digest()

    def program(self, at: int, data: bytes) -> bool:
        """Whether it then stands there, as far as the chip would notice."""
        self.check(at, len(data), WRITE_FAILED)
        wanted = int.from_bytes(data, "little")
        with self._path.open("r+b") as file:
            file.seek(at)
            now = int.from_bytes(file.read(len(data)), "little") & wanted
            damaged = now ^ (1 if self.damage and data else 0)
            file.seek(at)
            file.write(damaged.to_bytes(len(data), "little"))
        self.damage = self.damage and not data
        self.programmed_bytes += len(data)
        return now == wanted

    def erase(self, at: int, size: int) -> None:
        """Whole sectors."""
        self.check(at, size, FAILED)
        with self._path.open("r+b") as file:
            file.seek(at)
            file.write(b"\xff" * size)
        self.erased_sectors += size // SECTOR


class Download:
    """One flash download, plain or deflated. The ROM erases all of it at once, the stub as far
    as it programs, so that one broken off leaves the rest as it was."""

    def __init__(self, flash: RomFlash, size: int, at: int, inflate: bool, in_stub: bool) -> None:
        flash.check(at, size, FAILED)
        self.left = size
        self._flash = flash
        self._at = at
        self._in_stub = in_stub
        self._erase_at = at - at % SECTOR
        self._erase_end = at + size + -(at + size) % SECTOR
        self._inflater = zlib.decompressobj() if inflate else None
        self._inflated = b""
        self._erase_to(self._erase_at + 1 if in_stub else self._erase_end)

    def _erase_to(self, end: int) -> None:
        while self._erase_at < min(end, self._erase_end):
            left = self._erase_end - self._erase_at
            whole = self._erase_at % ERASE_BLOCK == 0 and left >= ERASE_BLOCK
            size = ERASE_BLOCK if whole else SECTOR
            self._flash.erase(self._erase_at, size)
            self._erase_at += size

    def _program(self, data: bytes) -> None:
        if len(data) > self.left:
            raise Refused(TOO_MUCH)
        self._erase_to(self._at + len(data))
        stands = self._flash.program(self._at, data)
        self._at += len(data)
        self.left -= len(data)
        if not stands and not self._in_stub:  # the ROM reads back what it programmed
            raise Refused(WRITE_FAILED)

    def take(self, data: bytes) -> None:
        """A data block's contents."""
        if self._inflater is None:
            self._program(data[: self.left])  # the last block is padded
            return
        try:
            while data and not self._inflater.eof:
                room = _INFLATE_WINDOW - len(self._inflated)
                self._inflated += self._inflater.decompress(data, room)
                data = self._inflater.unconsumed_tail
                full = len(self._inflated) == _INFLATE_WINDOW
                if full or self._inflater.eof or not self._in_stub:
                    self._program(self._inflated)
                    self._inflated = b""
        except zlib.error:
            raise Refused(INFLATE_FAILED) from None
