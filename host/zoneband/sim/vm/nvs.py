"""Key and value pages in a NOR partition, behind `esp32.NVS`.

Two halves, one in use: a head (magic, count of its uses), then entries (name 31, kind 1, size 2,
CRC-32 4, value), appended and never overwritten. A full half is copied to the other, whose head
is programmed last. So a cut loses at most the entry being written, and what was overwritten stays
readable until its half is erased. Differs from hardware: the layout is not ESP-IDF's.
"""

import binascii
import struct

import flashmap

_MAGIC = 0x564E425A
_HEAD = 8
_ENTRY = "<31sBHI"
_ENTRY_BYTES = 38
_ERASED = 0x80
_BLOCK = 4096


class Pages:
    def __init__(self):
        self.values = {}
        self._flash = flashmap.flash("nvs")
        self._blocks = self._flash.ioctl(4, 0) // 2
        self._half = -1
        self._uses = 0
        self._at = 0
        self._torn = False
        for half in (0, 1):
            magic, uses = struct.unpack("<II", self._read(half, 0, _HEAD))
            if magic == _MAGIC and uses >= self._uses:
                self._half, self._uses = half, uses
        if self._half < 0:
            self._begin(0)
        else:
            self._load()

    def _read(self, half, at, size):
        buf = bytearray(size)
        self._flash.readblocks(half * self._blocks, buf, at)
        return bytes(buf)

    def _load(self):
        self._at = _HEAD
        while self._at + _ENTRY_BYTES <= self._blocks * _BLOCK:
            head = self._read(self._half, self._at, _ENTRY_BYTES)
            if head == b"\xff" * _ENTRY_BYTES:
                return
            name, kind, size, crc = struct.unpack(_ENTRY, head)
            if self._at + _ENTRY_BYTES + size > self._blocks * _BLOCK:
                break
            value = self._read(self._half, self._at + _ENTRY_BYTES, size)
            if crc != binascii.crc32(value, binascii.crc32(head[:34])):
                break
            key = name.rstrip(b"\x00").decode(), kind & 0x7F
            if kind & _ERASED:
                self.values.pop(key, None)
            else:
                self.values[key] = value
            self._at += _ENTRY_BYTES + size
        self._torn = True

    def _begin(self, half):
        for block in range(self._blocks):
            self._flash.ioctl(6, half * self._blocks + block)
        self._half = half
        self._at = _HEAD
        self._torn = False
        for key in self.values:
            self._append(key[0], key[1], self.values[key])
        self._uses += 1
        self._flash.writeblocks(half * self._blocks, struct.pack("<II", _MAGIC, self._uses), 0)

    def _append(self, name, kind, value):
        head = struct.pack("<31sBH", name.encode(), kind, len(value))
        crc = binascii.crc32(value, binascii.crc32(head))
        self._flash.writeblocks(
            self._half * self._blocks, head + struct.pack("<I", crc) + value, self._at
        )
        self._at += _ENTRY_BYTES + len(value)

    def put(self, name, kind, value):
        self.values[(name, kind)] = value
        if self._torn or self._at + _ENTRY_BYTES + len(value) > self._blocks * _BLOCK:
            self._begin(1 - self._half)
        else:
            self._append(name, kind, value)

    def erase(self, name, kind):
        if self.values.pop((name, kind), None) is not None:
            if self._torn or self._at + _ENTRY_BYTES > self._blocks * _BLOCK:
                self._begin(1 - self._half)
            else:
                self._append(name, kind | _ERASED, b"")
