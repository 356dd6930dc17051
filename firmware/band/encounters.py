# Sightings become encounters, and closed encounters records.

import struct

from wire.compat import const

from .sightings import ID, RING, Sightings
from .table import NONE, Table

_MAX_NEAR_S = const(300)
_MAX_FAR_S = const(900)
_QUOTA = const(96)
_OPEN = "<12siiHibBHHH"
_OPEN_BYTES = const(34)


class Encounters:
    def __init__(self, slots=256, silent_s=60):
        self._silent_s = silent_s
        self._ring = Sightings()
        self.seen = self._ring.seen
        self._table = Table(slots)
        self._written = 0
        self._unwritten = 0

    @property
    def open(self):
        return self._table.open

    def drain(self):
        ring = self._ring
        table = self._table
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
        # Close what fell silent or is old. One that was near for most of its time is written
        # now, the others wait for the slot's end.
        self.drain()
        table = self._table
        for slot in range(table.slots):
            if not table.used[slot] or table.held[slot]:
                continue
            age = now_s - table.first_s[slot]
            silent = now_s - table.last_s[slot]
            longest = _MAX_NEAR_S if table.far[slot] else _MAX_FAR_S
            if silent < self._silent_s and age < longest:
                continue
            if self._written < _QUOTA and 2 * table.far[slot] > table.count[slot]:
                self._write(slot, write)
            else:
                table.held[slot] = 1

    def slot_end(self, now_s, write):
        # At the ID's rotation: the held ones as the quota has room, first those that were near at
        # times, most often first, then the longest.
        self.drain()
        table = self._table
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
            self._write(best, write)
        for slot in range(table.slots):
            if table.used[slot] and table.held[slot]:
                self._unwritten += 1
                table.remove(slot)
        self._written = 0

    def flush(self, now_s, write):
        # Everything to flash now: dock, low battery, a reset to come.
        self.drain()
        for slot in range(self._table.slots):
            if self._table.used[slot]:
                self._write(slot, write)

    def _write(self, slot, write):
        table = self._table
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
        losses = self._table.evicted + self._ring.take_dropped(), self._unwritten
        self._table.evicted = 0
        self._unwritten = 0
        return losses

    # --- across a sleep ---------------------------------------------------------------------

    def pack_open(self, limit, write):
        # The strongest `limit` open encounters as bytes; the others are written to flash.
        self.drain()
        table = self._table
        kept = []
        while len(kept) < limit:
            best, level = NONE, -129
            for slot in range(table.slots):
                if table.used[slot] and not table.held[slot] and slot not in kept:
                    if table.top[slot] > level:
                        best, level = slot, table.top[slot]
            if best < 0:
                break
            kept.append(best)
        for slot in range(table.slots):
            if table.used[slot] and slot not in kept:
                self._write(slot, write)
        out = bytearray()
        for slot in kept:
            base = slot * ID
            out += struct.pack(
                _OPEN,
                bytes(table.id[base : base + ID]),
                table.first_s[slot],
                table.last_s[slot],
                table.count[slot],
                table.sum[slot],
                table.top[slot],
                table.type[slot],
                table.near[slot],
                table.middle[slot],
                table.far[slot],
            )
        return out

    def unpack_open(self, data):
        # Take up what pack_open left, into an empty table.
        table = self._table
        for at in range(0, len(data) - _OPEN_BYTES + 1, _OPEN_BYTES):
            fields = struct.unpack(_OPEN, data[at : at + _OPEN_BYTES])
            slot = table.claim(fields[0], 0, fields[5])
            if slot < 0:
                return
            table.first_s[slot] = fields[1]
            table.last_s[slot] = fields[2]
            table.count[slot] = fields[3]
            table.sum[slot] = fields[4]
            table.top[slot] = fields[5]
            table.type[slot] = fields[6]
            table.near[slot] = fields[7]
            table.middle[slot] = fields[8]
            table.far[slot] = fields[9]
