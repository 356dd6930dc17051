# Slots of open encounters, found by ID; every array is allocated once.

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
        slot = self._take_free(rssi)
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

    def _take_free(self, rssi):
        # A full table gives up its weakest, if that is weaker than the newcomer: so a flood of
        # forged IDs cannot wash a near neighbour out unless it comes as near. What was seen
        # once or twice goes first.
        slot = self._free
        if slot < 0:
            self.evicted += 1
            slot = self._weakest(rssi, 3)
            if slot < 0:
                slot = self._weakest(rssi, _COUNT_MAX)
            if slot < 0:
                return _NONE
            self.remove(slot)
            slot = self._free
        self._free = self._next[slot]
        return slot

    def _weakest(self, below, seen_less):
        weakest, level = _NONE, below
        for slot in range(self.slots):
            if self.top[slot] < level and self.count[slot] < seen_less:
                weakest, level = slot, self.top[slot]
        return weakest

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
