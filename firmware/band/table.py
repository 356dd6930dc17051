# Slots of open encounters, found by ID; every array is allocated once.

import os
from array import array

from wire.compat import const

from .sightings import ID

_NEAR = const(-62)
_MIDDLE = const(-70)
_FAR = const(-78)
_BUCKETS = const(512)
NONE = -1
_NONE = const(-1)
_COUNT_MAX = const(65535)
_PROVEN = const(3)
_KNOCKS = const(512)


class Table:
    def __init__(self, slots):
        self.slots = slots
        self.id = bytearray(slots * ID)
        # Chains the slots of a bucket and, for free slots, the free list.
        self._next = array("h", list(range(1, slots)) + [_NONE])
        self._bucket = array("h", [_NONE] * _BUCKETS)
        self._free = 0
        self.used = bytearray(slots)
        # Closed and waiting to be written: a new sighting of its ID opens another.
        self.held = bytearray(slots)
        self.first_s = array("i", [0] * slots)
        self.last_s = array("i", [0] * slots)
        self.count = array("H", [0] * slots)
        self.sum = array("i", [0] * slots)
        self.top = array("b", bytes(slots))
        # Sightings above each level.
        self.near = array("H", [0] * slots)
        self.middle = array("H", [0] * slots)
        self.far = array("H", [0] * slots)
        self.type = bytearray(slots)
        self.evicted = 0
        self.open = 0
        self._hand = 0
        # While the table is full an ID must have been seen before to come in: 16 bits of each of
        # the last some hundred that knocked, at a place that nobody outside can foretell.
        self._knocked = array("H", [0] * _KNOCKS)
        self._multiplier = 129

    def draw(self):
        # Once the radio is on: an ESP32's random numbers are only such from then on.
        self._multiplier = os.urandom(1)[0] | 129

    def find(self, buf, at):
        # The open slot of the ID at buf[at:], or NONE.
        slot = self._bucket[(buf[at] | buf[at + 5] << 8) % _BUCKETS]
        while slot >= 0:
            if not self.held[slot]:
                base = slot * ID
                i = 0
                while i < ID and self.id[base + i] == buf[at + i]:
                    i += 1
                if i == ID:
                    return slot
            slot = self._next[slot]
        return _NONE

    def claim(self, buf, at, rssi):
        # A new slot for the ID at buf[at:], or NONE when all others are stronger.
        slot = self._take_free(buf, at, rssi)
        if slot < 0:
            return _NONE
        base = slot * ID
        for i in range(ID):
            self.id[base + i] = buf[at + i]
        bucket = (buf[at] | buf[at + 5] << 8) % _BUCKETS
        self._next[slot] = self._bucket[bucket]
        self._bucket[bucket] = slot
        self.used[slot] = 1
        self.held[slot] = 0
        self.count[slot] = 0
        self.sum[slot] = 0
        self.top[slot] = -128
        self.near[slot] = 0
        self.middle[slot] = 0
        self.far[slot] = 0
        self.open += 1
        return slot

    def add(self, slot, rssi, at_s):
        # One more sighting.
        self.last_s[slot] = at_s
        if rssi > self.top[slot]:
            self.top[slot] = rssi
        if self.count[slot] == _COUNT_MAX:
            return
        self.count[slot] += 1
        self.sum[slot] += rssi
        if rssi > _FAR:
            self.far[slot] += 1
            if rssi > _MIDDLE:
                self.middle[slot] += 1
                if rssi > _NEAR:
                    self.near[slot] += 1

    def _take_free(self, buf, at, rssi):
        slot = self._free
        if slot < 0:
            self.evicted += 1
            slot = self._victim(rssi) if self._knocks_again(buf, at) else _NONE
            if slot < 0:
                return _NONE
            self.remove(slot)
            slot = self._free
        self._free = self._next[slot]
        return slot

    def _knocks_again(self, buf, at):
        mixed = 0
        for i in range(at, at + ID):
            mixed = ((mixed ^ buf[i]) * self._multiplier + i - at) & 0x3FFFFF
        place, print_ = mixed % _KNOCKS, mixed >> 6 | 1
        if self._knocked[place] == print_:
            return True
        self._knocked[place] = print_
        return False

    def _victim(self, below):
        # Of a full table. A flood of forged IDs, however near, must not wash real neighbours out:
        # what was seen once or twice goes first, in turn, so that each has the same time to be
        # seen again; then of what waits to be written the least seen; then what is weaker than
        # the newcomer.
        for _ in range(self.slots):
            self._hand = (self._hand + 1) % self.slots
            if self.count[self._hand] < _PROVEN:
                return self._hand
        least, seen = _NONE, _COUNT_MAX + 1
        weakest, level = _NONE, below
        for slot in range(self.slots):
            if self.held[slot]:
                if self.count[slot] < seen:
                    least, seen = slot, self.count[slot]
            elif self.top[slot] < level:
                weakest, level = slot, self.top[slot]
        return least if least >= 0 else weakest

    def remove(self, slot):
        base = slot * ID
        bucket = (self.id[base] | self.id[base + 5] << 8) % _BUCKETS
        at = self._bucket[bucket]
        if at == slot:
            self._bucket[bucket] = self._next[slot]
        else:
            while self._next[at] != slot:
                at = self._next[at]
            self._next[at] = self._next[slot]
        self.used[slot] = 0
        self._next[slot] = self._free
        self._free = slot
        self.open -= 1

    def mean(self, slot):
        count = self.count[slot]
        return (self.sum[slot] + count // 2) // count
