# Sightings become encounters, and closed encounters records.

from wire.compat import const

from .sightings import ID, RING, Sightings
from .table import NONE, Table

_MAX_NEAR_S = const(300)
_MAX_FAR_S = const(900)
_QUOTA = const(96)
# Written as they close are near ones that lasted, and of shorter ones so many; the rest waits for
# the slot's end, when the longest can be told. A flood of forged IDs would use the quota up else.
_LASTING = const(84)
_SHORT = const(24)
_SURE = const(8)


class Encounters:
    def __init__(self, slots=256, silent_s=60):
        self._silent_s = silent_s
        self._ring = Sightings()
        self.seen = self._ring.seen
        self.table = Table(slots)
        self._written = 0
        self._short = 0  # of these, how many had not lasted
        self._unwritten = 0

    @property
    def open(self):
        return self.table.open

    def drain(self):
        ring = self._ring
        table = self.table
        while ring.tail != ring.head:
            r = ring.tail
            at = r * ID
            rssi = ring.rssi[r]
            slot = table.find(ring.id, at)
            if slot < 0:
                slot = table.claim(ring.id, at, rssi)
                if slot >= 0:
                    table.first_s[slot] = ring.at_s[r]
                    table.type[slot] = ring.type[r]
            if slot >= 0:
                table.add(slot, rssi, ring.at_s[r])
            ring.tail = (r + 1) % RING

    def sweep(self, now_s, write):
        # Close what fell silent or is old. One that was near for most of its time is written now
        # where the quota allows; the others wait for the slot's end.
        self.drain()
        table = self.table
        for slot in range(table.slots):
            if not table.used[slot] or table.held[slot]:
                continue
            age = now_s - table.first_s[slot]
            silent = now_s - table.last_s[slot]
            longest = _MAX_NEAR_S if table.far[slot] else _MAX_FAR_S
            if silent < self._silent_s and age < longest:
                continue
            count = table.count[slot]
            lasted = age >= longest
            room = self._written < _LASTING if lasted else self._short < _SHORT
            if room and count >= _SURE and 2 * table.far[slot] > count:
                self._short += 0 if lasted else 1
                self.write(slot, write)
            else:
                table.held[slot] = 1

    def slot_end(self, now_s, write):
        # At the ID's rotation: the held ones as the quota has room, first those that were near at
        # times, most often first, then the longest.
        self.drain()
        table = self.table
        while self._written < _QUOTA:
            best, weight = NONE, -1
            for slot in range(table.slots):
                if table.used[slot] and table.held[slot]:
                    length = table.last_s[slot] - table.first_s[slot]
                    if table.far[slot]:
                        length = _MAX_FAR_S + table.far[slot]
                    if length > weight:
                        best, weight = slot, length
            if best < 0:
                break
            self.write(best, write)
        for slot in range(table.slots):
            if table.used[slot] and table.held[slot]:
                self._unwritten += 1
                table.remove(slot)
        self._written = self._short = 0

    def flush(self, now_s, write):
        # Everything to flash now: dock, low battery, a reset to come.
        self.drain()
        for slot in range(self.table.slots):
            if self.table.used[slot]:
                self.write(slot, write)

    def write(self, slot, write):
        table = self.table
        count = table.count[slot]
        shares = 0
        for part in (table.far[slot], table.middle[slot], table.near[slot]):
            shares = shares << 4 | (part * 15 + count // 2) // count
        base = slot * ID
        first = table.first_s[slot]
        write(
            bytes(table.id[base : base + ID]),
            first,
            table.last_s[slot] - first,
            count,
            table.mean(slot),
            table.top[slot],
            shares,
            table.type[slot],
        )
        self._written += 1
        table.remove(slot)

    def take_losses(self):
        # (evicted, unwritten) since the last call.
        losses = self.table.evicted + self._ring.take_dropped(), self._unwritten
        self.table.evicted = 0
        self._unwritten = 0
        return losses
