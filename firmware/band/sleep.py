# Open encounters across a sleep, in RTC memory. Loaded on the way into one and out of it.

import struct

from .sightings import ID
from .table import NONE

_OPEN = "<12siiHibBHHH"
_OPEN_BYTES = 34


def pack_open(encounters, limit, write):
    # The strongest `limit` open encounters as bytes; the others are written to flash.
    encounters.drain()
    table = encounters.table
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
            encounters.write(slot, write)
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


def unpack_open(encounters, data):
    # Take up what pack_open left, into an empty table.
    table = encounters.table
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
