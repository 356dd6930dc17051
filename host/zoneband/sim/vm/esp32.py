"""`esp32` of a virtual band: partitions over NOR files, and an NVS that forgets nothing.

NVS entries are appended to a page file; an overwritten one stays readable there until the page
is erased. Flash work holds the interpreter: an erase 40 ms and a program 0.3 ms of virtual
time, in which the radio's reports pile up.
"""

import struct

import _air
import uos
from nor import NorFlash

HEAP_DATA = 4
HEAP_EXEC = 1

_ERASE_US = 40000
_PROGRAM_US = 300
_PAGE = 20480
_ERASED = 0x80
_SECTORS = {"bandkeys": 2, "bandlog": int(uos.getenv("ZB_LOG_SECTORS") or "384")}


def idf_heap_info(kind):
    return [(120000, 60000, 40000, 30000)]


class _Flash(NorFlash):
    def writeblocks(self, block, buf, offset=0):
        NorFlash.writeblocks(self, block, buf, offset)
        _air.wait(_air.now_us + _PROGRAM_US, _air.DEAF)

    def ioctl(self, op, arg):
        result = NorFlash.ioctl(self, op, arg)
        if op == 6:
            _air.wait(_air.now_us + _ERASE_US, _air.DEAF)
        return result


class Partition:
    TYPE_APP = 0
    TYPE_DATA = 1

    @staticmethod
    def find(type=TYPE_APP, subtype=0xFF, label=None, block_size=4096):
        if type != Partition.TYPE_DATA or label not in _SECTORS:
            return []
        return [_Flash("../" + label + ".bin", _SECTORS[label])]


class NVS:
    _PATH = "../nvs.bin"

    def __init__(self, namespace):
        self._space = namespace
        self._values = {}
        try:
            with open(self._PATH, "rb") as f:
                data = f.read()
        except OSError:
            data = b""
        at = 0
        while at + 34 <= len(data):
            name, kind, size = struct.unpack("<31sBH", data[at : at + 34])
            value = data[at + 34 : at + 34 + size]
            if len(value) < size:
                break
            full = name.rstrip(b"\x00").decode(), kind & 0x7F
            if kind & _ERASED:
                self._values.pop(full, None)
            else:
                self._values[full] = value
            at += 34 + size
        self._size = at

    def _key(self, key, kind):
        if len(key) > 15:
            raise OSError(-4361)
        return self._space + "." + key, kind

    def _set(self, key, kind, value):
        full = self._key(key, kind)
        self._values[full] = value
        if self._size > _PAGE:
            self._size = 0
            with open(self._PATH + ".new", "wb") as f:
                for each in self._values:
                    self._size += f.write(self._entry(each, self._values[each]))
            uos.rename(self._PATH + ".new", self._PATH)
        else:
            with open(self._PATH, "ab") as f:
                self._size += f.write(self._entry(full, value))

    def _entry(self, full, value):
        return struct.pack("<31sBH", full[0].encode(), full[1], len(value)) + value

    def _get(self, key, kind):
        try:
            return self._values[self._key(key, kind)]
        except KeyError:
            raise OSError(-4354)

    def set_i32(self, key, value):
        self._set(key, 1, struct.pack("<i", value))

    def get_i32(self, key):
        return struct.unpack("<i", self._get(key, 1))[0]

    def set_blob(self, key, value):
        self._set(key, 2, bytes(value))

    def get_blob(self, key, buf):
        value = self._get(key, 2)
        buf[: len(value)] = value
        return len(value)

    def erase_key(self, key):
        for kind in (1, 2):
            full = self._key(key, kind)
            if self._values.pop(full, None) is not None:
                with open(self._PATH, "ab") as f:
                    self._size += f.write(self._entry((full[0], kind | _ERASED), b""))

    def commit(self):
        pass
