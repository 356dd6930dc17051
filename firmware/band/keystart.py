# What band/keys.py does at a start or by order only: beginning, finding the keys again, a new base
# key. Loaded then, and forgotten after a start.

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
_LAST_TURN = const(63)  # base keys that a band can have, counted from 0
_ZEROS = bytes(_USED)


def provision(keys, day, base_key):
    # day: UTC day of the base key. Whatever stood here is gone.
    keys.erase()
    keys._block = 0
    keys._free = 0
    keys._turn = 0
    keys._day = day
    keys._slot = 0
    keys._slot_key = bluezone.first_slot_key(base_key)
    keys._next_day_key = bluezone.next_day_key(base_key)
    keys._next_day = day + 1
    keys._put(_KIND_DAY, day + 1, 0, keys._next_day_key)
    keys._put(_KIND_SLOT, day, 0, keys._slot_key)


def load(keys, may_write):
    # False when there is no whole pair of keys. A cut step leaves two entries of a kind: the
    # later one counts; a cut change of the base key may leave one of the new: the old pair
    # counts. What does not count is wiped now, or, with a low battery, at a later start.
    wipe = keys._wipe if may_write else _leave
    found = {}  # (turn, kind) -> (day, slot, key, block, entry)
    spare = {}
    for block in (0, 1):
        for entry in range(_ENTRIES):
            keys._flash.readblocks(block, keys._buf, entry * _ENTRY)
            if bytes(keys._buf) != b"\xff" * _ENTRY:
                spare[block] = entry + 1
            fields = _unpack(keys._buf)
            if not fields:
                # A torn entry may hold key bytes.
                if bytes(keys._buf[:_USED]) not in (_ZEROS, b"\xff" * _USED):
                    wipe(block, entry)
                continue
            turn, kind, slot, day, key = fields
            old = found.get((turn, kind))
            if old and old[:2] >= (day, slot):
                wipe(block, entry)
            else:
                if old:
                    wipe(old[3], old[4])
                found[turn, kind] = (day, slot, key, block, entry)
    keys._buf[:] = bytes(_ENTRY)
    whole = [t for t, k in found if k == _KIND_DAY and (t, _KIND_SLOT) in found]
    if not whole:
        return False
    keys._turn = max(whole)
    for turn, kind in found:
        if turn != keys._turn:
            wipe(*found[turn, kind][3:])
    day, slot, key, block, entry = found[keys._turn, _KIND_SLOT]
    keys._places[_KIND_SLOT] = (block, entry)
    next_day, _, next_key, block, entry = found[keys._turn, _KIND_DAY]
    keys._places[_KIND_DAY] = (block, entry)
    keys._day, keys._slot, keys._slot_key = day, slot, key
    keys._next_day_key, keys._next_day = next_key, next_day
    # After a cut change of sector the two entries lie apart; bring them together where
    # there is room, since the next change erases the other sector.
    blocks = sorted((keys._places[k][0] for k in (1, 2)), key=lambda b: spare[b])
    keys._block = blocks[0]
    keys._free = spare[keys._block]
    if may_write and keys._places[_KIND_SLOT][0] != keys._block:
        keys._replace(_KIND_SLOT, day, slot, key)
    if may_write and keys._places[_KIND_DAY][0] != keys._block:
        keys._replace(_KIND_DAY, next_day, 0, next_key)
    if next_day <= day:
        # Cut inside a day's change: the old day key would give this day's passed IDs.
        while next_day <= day:
            next_key = bluezone.next_day_key(next_key)
            next_day += 1
        if may_write:
            keys._replace(_KIND_DAY, next_day, 0, next_key)
        keys._next_day_key, keys._next_day = next_key, next_day
    return next_day == day + 1


def _leave(block, entry):
    pass


def spent(keys):
    # Whether the band has had all base keys that it can have.
    return keys._turn == _LAST_TURN


def renew(keys, utc_s, base_key):
    # A new base key from this UTC day on; the IDs of the old one are over. Raises
    # OverflowError when the band has had 64.
    if spent(keys):
        raise OverflowError("no turn left")
    if keys._free > _ENTRIES - 4:
        keys._change_sector(0)  # no change of sector between the two below
    day, slot = utc_s // bluezone.DAY_S, bluezone.slot_at(utc_s)
    key = bluezone.first_slot_key(base_key)
    for _ in range(slot):
        key = bluezone.next_slot_key(key)
    next_key = bluezone.next_day_key(base_key)
    keys._turn += 1
    old, keys._places = keys._places, {}
    keys._day, keys._slot, keys._slot_key = day, slot, key
    keys._next_day_key, keys._next_day = next_key, day + 1
    keys.stepped = True
    # The new pair is whole before the old one goes.
    keys._put(_KIND_DAY, day + 1, 0, next_key)
    keys._put(_KIND_SLOT, day, slot, key)
    for kind in old:
        keys._wipe(*old[kind])


def _unpack(entry):
    # (turn, kind, slot, day, key), or None.
    magic, kind, slot, day, key, crc = struct.unpack("<HBBI32sI", entry[:_USED])
    if magic != _MAGIC or crc != binascii.crc32(entry[:40]) & 0xFFFFFFFF:
        return None
    return kind >> 2, kind & 3, slot, day, key
