# The rotating IDs' keys on their own raw partition of two sectors (`bandkeys`).
#
# Kept are the key of the current slot and the day key of the next UTC day: from them come all
# later IDs and none of the earlier. A step programs the new entry, verifies it, then programs
# the old one to zeros. An entry is 64 bytes, 64 to a sector:
#   magic 2, kind 1, slot 1, day 4, key 32, CRC-32 4; the rest stays erased.
# day: whole days since 1970 that a slot key lies in, or that a day key belongs to. The upper bits
# of the kind count the base keys that the band has had: a new one wins however early its day.

import binascii
import struct

from wire import bluezone
from wire.compat import const

_ENTRY = const(64)
_USED = const(44)
_ENTRIES = const(64)
_MAGIC = const(0x4B5A)
_KIND_SLOT = const(1)
_KIND_DAY = const(2)
_ZEROS = bytes(_USED)
_BLANK = b"\xff" * _ENTRY


class BandKeys:
    def __init__(self, flash):
        self._flash = flash
        self._buf = bytearray(_ENTRY)
        self._day = 0  # day and slot of the slot key
        self._slot = -1
        self._turn = 0
        self.stepped = False  # keys have passed since somebody looked
        self._slot_key = b""
        self._next_day_key = b""  # day key of self._next_day, the day after
        self._next_day = 0
        self._places = {}  # kind -> (block, entry) of the live entry
        self._block = 0
        self._free = 0
        self.ahead = False

    def provision(self, day, base_key):
        # day: UTC day of the base key. Whatever stood here is gone.
        from . import keystart

        keystart.provision(self, day, base_key)

    def erase(self):
        # No ID any more. What is blank is not worn by another erase.
        for block in (0, 1):
            for entry in range(_ENTRIES):
                self._flash.readblocks(block, self._buf, entry * _ENTRY)
                if self._buf != _BLANK:
                    self._flash.ioctl(6, block)
                    break
        self._buf[:] = bytes(_ENTRY)
        self._places = {}
        self._slot_key = self._next_day_key = b""

    def load(self, may_write=True):
        # False when there is no whole pair of keys. may_write: whether the battery allows it.
        from . import keystart

        return keystart.load(self, may_write)

    def id_at(self, utc_s, limit_utc_s):
        # The ID at a time; keys step forward to it and the passed ones are gone. An earlier
        # time gets the earliest ID that is left. Raises OverflowError beyond limit_utc_s.
        if utc_s > limit_utc_s:
            raise OverflowError("step too far")
        day = utc_s // bluezone.DAY_S
        slot = bluezone.slot_at(utc_s)
        self.ahead = (day, slot) < (self._day, self._slot)
        if (day, slot) > (self._day, self._slot):
            self._step(day, slot)
        return bluezone.id_of(self._slot_key)

    def utc_s(self):
        # Begin of the slot that the keys stand at.
        return self._day * bluezone.DAY_S + self._slot * bluezone.SLOT_S

    def stand(self):
        # (key of the current slot, key of the next day), for provisioning to check.
        return self._slot_key, self._next_day_key

    def renew(self, utc_s, base_key):
        # A new base key from this UTC day on; the IDs of the old one are over. Raises
        # OverflowError when the band has had 64.
        from . import keystart

        keystart.renew(self, utc_s, base_key)

    def _step(self, day, slot):
        self.stepped = True
        at, key, day_key = self._slot, self._slot_key, b""
        if day > self._day:
            day_key = self._next_day_key
            for _ in range(day - self._day - 1):
                day_key = bluezone.next_day_key(day_key)
            at, key = 0, bluezone.first_slot_key(day_key)
        for _ in range(slot - at):
            key = bluezone.next_slot_key(key)
        # The slot key first: with it and the old day key a cut band still reaches every later
        # ID; the other way round it would lose this day's.
        new_day = day > self._day
        self._replace(_KIND_SLOT, day, slot, key)
        self._day, self._slot, self._slot_key = day, slot, key
        if new_day:
            next_key = bluezone.next_day_key(day_key)
            self._replace(_KIND_DAY, day + 1, 0, next_key)
            self._next_day_key, self._next_day = next_key, day + 1

    # --- flash ------------------------------------------------------------------------------

    def _replace(self, kind, day, slot, key):
        old = self._places.get(kind)
        self._put(kind, day, slot, key)
        if old:
            self._wipe(*old)

    def _put(self, kind, day, slot, key):
        data = _pack(self._turn << 2 | kind, slot, day, key)
        for _ in range(_ENTRIES):
            if self._free >= _ENTRIES:
                self._change_sector(kind)
            at = self._free * _ENTRY
            self._free += 1
            self._flash.writeblocks(self._block, data, at)
            back = bytearray(_USED)
            self._flash.readblocks(self._block, back, at)
            if bytes(back) == data:
                self._places[kind] = (self._block, self._free - 1)
                return
            self._wipe(self._block, self._free - 1)
        raise OSError(5)

    def _change_sector(self, kind):
        # This sector is full: go on in the other, and bring the entries of other kinds along.
        other = 1 - self._block
        self._flash.ioctl(6, other)
        self._block = other
        self._free = 0
        for moved in (_KIND_SLOT, _KIND_DAY):
            if moved != kind and moved in self._places:
                if moved == _KIND_DAY:
                    self._replace(_KIND_DAY, self._next_day, 0, self._next_day_key)
                else:
                    self._replace(_KIND_SLOT, self._day, self._slot, self._slot_key)

    def _wipe(self, block, entry):
        self._flash.writeblocks(block, _ZEROS, entry * _ENTRY)


def _pack(kind, slot, day, key):
    body = struct.pack("<HBBI32s", _MAGIC, kind, slot, day, key)
    return body + struct.pack("<I", binascii.crc32(body) & 0xFFFFFFFF)
