"""`esp32` of a virtual band: partitions over NOR files, and an NVS that forgets nothing.

Flash work holds the interpreter: an erase 40 ms and a program 0.3 ms of virtual time, in which
the radio's reports pile up. NVS takes no time. `gc.mem_free` counts what the heap could still
grow by, as the port's does.
"""

import gc
import struct
import sys

import _air
import flashmap
from micropython import const
from nor import NorFlash
from nvs import Pages

HEAP_DATA = 4
HEAP_EXEC = 1

_GROWTH = const(40000)  # largest free block of the system's own heap
_ERASE_US = const(40000)
_PROGRAM_US = const(300)
_pages = None


def idf_heap_info(kind):
    return [(120000, 60000, _GROWTH, 30000), (8000, 7000, 7000, 7000)]


class _Gc:
    # `gc` as an ESP32 has it.
    collect = staticmethod(gc.collect)
    mem_alloc = staticmethod(gc.mem_alloc)
    enable = staticmethod(gc.enable)
    disable = staticmethod(gc.disable)
    isenabled = staticmethod(gc.isenabled)
    threshold = staticmethod(gc.threshold)

    @staticmethod
    def mem_free():
        return gc.mem_free() + _GROWTH


sys.modules["gc"] = _Gc


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
        if type != Partition.TYPE_DATA or label is None:
            return []
        found = flashmap.flash(label, _Flash)
        return [found] if found else []


class NVS:
    def __init__(self, namespace):
        global _pages
        self._space = namespace
        if _pages is None:
            _pages = Pages()

    def _key(self, key):
        if len(key) > 15:
            raise OSError(-4361)
        return self._space + "." + key

    def _get(self, key, kind):
        try:
            return _pages.values[(self._key(key), kind)]
        except KeyError:
            raise OSError(-4354)

    def set_i32(self, key, value):
        _pages.put(self._key(key), 1, struct.pack("<i", value))

    def get_i32(self, key):
        return struct.unpack("<i", self._get(key, 1))[0]

    def set_blob(self, key, value):
        _pages.put(self._key(key), 2, bytes(value))

    def get_blob(self, key, buf):
        value = self._get(key, 2)
        if len(value) > len(buf):
            raise OSError(-4364)
        buf[: len(value)] = value
        return len(value)

    def erase_key(self, key):
        for kind in (1, 2):
            _pages.erase(self._key(key), kind)

    def commit(self):
        pass
