"""Key and value pages in a NOR partition, behind `esp32.NVS`.

Two halves, one in use: a head (magic, count of its uses), then entries (name 31, kind 1, size 2,
CRC-32 4, value), appended and never overwritten. A full half is copied to the other, whose head
is programmed last. So a cut loses at most the entry being written, and what was overwritten stays
readable until its half is erased. Differs from hardware: the layout is not ESP-IDF's.
"""

import binascii
import struct

import flashmap

MAGIC = 0x564E425A
HEAD = 8
_ENTRY = "<31sBHI"
ENTRY_BYTES = 38
ERASED = 0x80
BLOCK = 4096


class Pages:
    def __init__(self):
        self.values = {}
        self.flash = flashmap.flash("nvs")
        self.blocks = self.flash.ioctl(4, 0) // 2
        self.half = -1
        self.uses = 0
        self.at = 0
        self.torn = False
        for half in (0, 1):
            magic, uses = struct.unpack("<II", self._read(half, 0, HEAD))
            if magic == MAGIC and uses >= self.uses:
                self.half, self.uses = half, uses
        if self.half < 0:
            self.begin(0)
        else:
            self._load()

    def _read(self, half, at, size):
        buf = bytearray(size)
        self.flash.readblocks(half * self.blocks, buf, at)
        return bytes(buf)

    def _load(self):
        self.at = HEAD
        while self.at + ENTRY_BYTES <= self.blocks * BLOCK:
            head = self._read(self.half, self.at, ENTRY_BYTES)
            if head == b"\xff" * ENTRY_BYTES:
                return
            name, kind, size, crc = struct.unpack(_ENTRY, head)
            if self.at + ENTRY_BYTES + size > self.blocks * BLOCK:
                break
            value = self._read(self.half, self.at + ENTRY_BYTES, size)
            if crc != binascii.crc32(value, binascii.crc32(head[:34])):
                break
            key = name.rstrip(b"\x00").decode(), kind & 0x7F
            if kind & ERASED:
                self.values.pop(key, None)
            else:
                self.values[key] = value
            self.at += ENTRY_BYTES + size
        self.torn = True

    def begin(self, half):
        import nvsturn

        nvsturn.begin(self, half)

    def append(self, name, kind, value):
        head = struct.pack("<31sBH", name.encode(), kind, len(value))
        crc = binascii.crc32(value, binascii.crc32(head))
        self.flash.writeblocks(
            self.half * self.blocks, head + struct.pack("<I", crc) + value, self.at
        )
        self.at += ENTRY_BYTES + len(value)

    def put(self, name, kind, value):
        self.values[(name, kind)] = value
        if self.torn or self.at + ENTRY_BYTES + len(value) > self.blocks * BLOCK:
            self.begin(1 - self.half)
        else:
            self.append(name, kind, value)

    def erase(self, name, kind):
        import nvsturn

        nvsturn.erase(self, name, kind)
