# Sightings become encounters, in slots that are allocated once.
#
# The radio's handler runs on another task and may come between any two bytecodes of the main
# loop. So it only writes into a ring of raw sightings (`seen`), of which it alone moves the
# head; the main loop drains the ring into the table. A full ring drops, and counts it.

import struct
from array import array

from wire.compat import const

_ID = const(12)
_RING = const(256)
_MAX_NEAR_S = const(300)
_MAX_FAR_S = const(900)
_QUOTA = const(96)
_NEAR = const(-62)
_MIDDLE = const(-70)
_FAR = const(-78)
_BUCKETS = const(512)
_NONE = const(-1)
_OPEN = "<12siiHibBHHH"
_OPEN_BYTES = const(34)
_COUNT_MAX = const(65535)


class Encounters:
    def __init__(self, slots=256, silent_s=60):
        self._silent_s = silent_s
        self._slots = slots
        # Ring of raw sightings.
        self._ring_id = bytearray(_RING * _ID)
        self._ring_rssi = array("b", bytes(_RING))
        self._ring_type = bytearray(_RING)
        self._ring_s = array("i", [0] * _RING)
        self._head = 0
        self._tail = 0
        # Table; next chains the slots of a bucket and, for free slots, the free list.
        self._id = bytearray(slots * _ID)
        self._next = array("h", list(range(1, slots)) + [_NONE])
        self._bucket = array("h", [_NONE] * _BUCKETS)
        self._free = 0
        self._used = bytearray(slots)
        self._first_s = array("i", [0] * slots)
        self._last_s = array("i", [0] * slots)
        self._count = array("H", [0] * slots)
        self._sum = array("i", [0] * slots)
        self._top = array("b", bytes(slots))
        self._near = array("H", [0] * slots)
        self._middle = array("H", [0] * slots)
        self._far = array("H", [0] * slots)
        self._type = bytearray(slots)
        self._held = bytearray(slots)
        self._written = 0
        self.evicted = 0
        self.unwritten = 0
        self.open = 0

    # --- the radio's handler ----------------------------------------------------------------

    def seen(self, adv_type, addr_type, rssi, adv_data, at, now_s):
        # Allocates nothing. at: where the ID starts in adv_data.
        head = self._head
        after = (head + 1) % _RING
        if after == self._tail:
            self.evicted += 1
            return
        base = head * _ID
        ring = self._ring_id
        i = 0
        while i < _ID:
            ring[base + i] = adv_data[at + i]
            i += 1
        self._ring_rssi[head] = rssi
        self._ring_type[head] = (adv_type & 3) | (4 if addr_type else 0)
        self._ring_s[head] = now_s
        self._head = after

    # --- the main loop ----------------------------------------------------------------------

    def drain(self):
        while self._tail != self._head:
            self._take(self._tail)
            self._tail = (self._tail + 1) % _RING

    def _take(self, r):
        ring, at = self._ring_id, r * _ID
        bucket = (ring[at] | ring[at + 5] << 8) % _BUCKETS
        slot = self._find(bucket, ring, at)
        rssi = self._ring_rssi[r]
        if slot < 0:
            slot = self._take_free(rssi)
            if slot < 0:
                return
            base = slot * _ID
            for i in range(_ID):
                self._id[base + i] = ring[at + i]
            self._next[slot] = self._bucket[bucket]
            self._bucket[bucket] = slot
            self._used[slot] = 1
            self._held[slot] = 0
            self._first_s[slot] = self._ring_s[r]
            self._count[slot] = 0
            self._sum[slot] = 0
            self._top[slot] = -128
            self._near[slot] = 0
            self._middle[slot] = 0
            self._far[slot] = 0
            self._type[slot] = self._ring_type[r]
            self.open += 1
        self._last_s[slot] = self._ring_s[r]
        if rssi > self._top[slot]:
            self._top[slot] = rssi
        if self._count[slot] == _COUNT_MAX:
            return
        self._count[slot] += 1
        self._sum[slot] += rssi
        if rssi > _FAR:
            self._far[slot] += 1
            if rssi > _MIDDLE:
                self._middle[slot] += 1
                if rssi > _NEAR:
                    self._near[slot] += 1

    def _find(self, bucket, ring, at):
        slot = self._bucket[bucket]
        while slot >= 0:
            if not self._held[slot]:
                base = slot * _ID
                i = 0
                while i < _ID and self._id[base + i] == ring[at + i]:
                    i += 1
                if i == _ID:
                    return slot
            slot = self._next[slot]
        return _NONE

    def _take_free(self, rssi):
        # A full table gives up its weakest, if that is weaker than the newcomer: so a flood of
        # forged IDs cannot wash a near neighbour out unless it comes as near.
        slot = self._free
        if slot >= 0:
            self._free = self._next[slot]
            return slot
        self.evicted += 1
        weakest, level = _NONE, rssi
        for slot in range(self._slots):
            if self._top[slot] < level and self._count[slot] < 3:
                weakest, level = slot, self._top[slot]
        if weakest < 0:
            for slot in range(self._slots):
                if self._top[slot] < level:
                    weakest, level = slot, self._top[slot]
        if weakest < 0:
            return _NONE
        self._remove(weakest)
        slot = self._free
        self._free = self._next[slot]
        return slot

    def _remove(self, slot):
        base = slot * _ID
        bucket = (self._id[base] | self._id[base + 5] << 8) % _BUCKETS
        at = self._bucket[bucket]
        if at == slot:
            self._bucket[bucket] = self._next[slot]
        else:
            while self._next[at] != slot:
                at = self._next[at]
            self._next[at] = self._next[slot]
        self._used[slot] = 0
        self._next[slot] = self._free
        self._free = slot
        self.open -= 1

    def sweep(self, now_s, write):
        # Close what fell silent or is old; near ones are written now, far ones wait for the
        # slot's end.
        self.drain()
        for slot in range(self._slots):
            if not self._used[slot] or self._held[slot]:
                continue
            near = self._far[slot] > 0
            age = now_s - self._first_s[slot]
            silent = now_s - self._last_s[slot]
            if silent < self._silent_s and age < (_MAX_NEAR_S if near else _MAX_FAR_S):
                continue
            if near and self._written < _QUOTA:
                self._write(slot, write)
            else:
                self._held[slot] = 1

    def slot_end(self, now_s, write):
        # At the ID's rotation: the held ones, longest first, as the quota has room.
        self.drain()
        while self._written < _QUOTA:
            best, longest = _NONE, -1
            for slot in range(self._slots):
                if self._used[slot] and self._held[slot]:
                    length = self._last_s[slot] - self._first_s[slot]
                    if length > longest:
                        best, longest = slot, length
            if best < 0:
                break
            self._write(best, write)
        for slot in range(self._slots):
            if self._used[slot] and self._held[slot]:
                self.unwritten += 1
                self._remove(slot)
        self._written = 0

    def flush(self, now_s, write):
        # Everything to flash now: dock, low battery, a reset to come.
        self.drain()
        for slot in range(self._slots):
            if self._used[slot]:
                self._write(slot, write)

    def _write(self, slot, write):
        count = self._count[slot]
        mean = (self._sum[slot] + count // 2) // count
        shares = 0
        for part in (self._far[slot], self._middle[slot], self._near[slot]):
            shares = shares << 4 | (part * 15 + count // 2) // count
        base = slot * _ID
        first = self._first_s[slot]
        write(
            bytes(self._id[base : base + _ID]),
            first,
            self._last_s[slot] - first,
            count,
            mean,
            self._top[slot],
            shares,
            self._type[slot],
        )
        self._written += 1
        self._remove(slot)

    def take_losses(self):
        # (evicted, unwritten) since the last call.
        losses = self.evicted, self.unwritten
        self.evicted = 0
        self.unwritten = 0
        return losses

    # --- across a sleep ---------------------------------------------------------------------

    def pack_open(self, limit, write):
        # The strongest `limit` open encounters as bytes; the others are written to flash.
        self.drain()
        kept = []
        while len(kept) < limit:
            best, level = _NONE, -129
            for slot in range(self._slots):
                if self._used[slot] and not self._held[slot] and slot not in kept:
                    if self._top[slot] > level:
                        best, level = slot, self._top[slot]
            if best < 0:
                break
            kept.append(best)
        for slot in range(self._slots):
            if self._used[slot] and slot not in kept:
                self._write(slot, write)
        out = bytearray()
        for slot in kept:
            base = slot * _ID
            out += struct.pack(
                _OPEN,
                bytes(self._id[base : base + _ID]),
                self._first_s[slot],
                self._last_s[slot],
                self._count[slot],
                self._sum[slot],
                self._top[slot],
                self._type[slot],
                self._near[slot],
                self._middle[slot],
                self._far[slot],
            )
        return out

    def unpack_open(self, data):
        # Take up what pack_open left, into an empty table.
        for at in range(0, len(data) - _OPEN_BYTES + 1, _OPEN_BYTES):
            fields = struct.unpack(_OPEN, data[at : at + _OPEN_BYTES])
            slot = self._free
            if slot < 0:
                return
            self._free = self._next[slot]
            bucket = (fields[0][0] | fields[0][5] << 8) % _BUCKETS
            base = slot * _ID
            for i in range(_ID):
                self._id[base + i] = fields[0][i]
            self._next[slot] = self._bucket[bucket]
            self._bucket[bucket] = slot
            self._used[slot] = 1
            self._held[slot] = 0
            self._first_s[slot] = fields[1]
            self._last_s[slot] = fields[2]
            self._count[slot] = fields[3]
            self._sum[slot] = fields[4]
            self._top[slot] = fields[5]
            self._type[slot] = fields[6]
            self._near[slot] = fields[7]
            self._middle[slot] = fields[8]
            self._far[slot] = fields[9]
            self.open += 1
