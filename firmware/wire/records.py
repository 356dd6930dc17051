"""Records of the band log, 24 bytes each, little-endian; byte 0 is the type.

Times are run-time seconds since the key group's base (3 bytes, 194 days). Every mark starts
with its type and time; an encounter starts with its type and the ID that was heard. Reading them
is wire/readers.py: a band only writes, and its heap is small.
"""

import struct

from .compat import const

ENCOUNTER = const(1)
CLOCK = const(2)
BOOT = const(3)
HEALTH = const(4)
EXPOSURE_NOTIFICATION = const(5)  # reserved: 12 bytes of a rolling proximity identifier
DOCK = const(6)
STATE = const(7)
LOSS = const(8)
CHARGE = const(9)
NEW_KEY = const(10)  # two of them carry a new base key
ORDER = const(11)  # value: kind of the order that was carried out (wire.orders), its number
REFUSAL = const(12)  # value: what was refused, number: how often since the last such mark
UPDATE = const(13)  # value: UPDATE_*, number: version as in boot marks

# Where a clock mark's UTC comes from.
SOURCE_RUNNING = const(0)  # the band's own running UTC, as used for ID rotation
SOURCE_STATION = const(1)
SOURCE_RTC = const(2)
SUSPECT = const(1)  # clock flag: carried over a reset, not confirmed since
AHEAD = const(2)  # clock flag: set back; IDs wait until UTC catches up

# States of a band, in state marks and in HELLO.
NEW = const(0)
ISSUED = const(1)
RETURNED = const(2)
RETIRED = const(3)

# Dock and charge marks.
ENDED = const(0)
BEGAN = const(1)

# What a band refused, in refusal marks.
REFUSED_PROOF = const(1)  # a host without the dock key
REFUSED_FRAME = const(2)  # a frame that is not of its session, or came before
REFUSED_RECEIPT = const(3)
REFUSED_ORDER = const(4)
REFUSED_UPDATE = const(5)

# What became of an update, in update marks.
UPDATE_BEGUN = const(1)  # started for the first time
UPDATE_KEPT = const(2)  # healthy
UPDATE_UNDONE = const(3)  # not healthy in three starts: the one before runs again

# Why slots were lost.
LOST_OVERWRITTEN = const(1)
LOST_UNREADABLE = const(2)
LOST_EXPIRED = const(3)

RSSI_NEAR = (-62, -70, -78)  # dBm above which the three shares count


def _time3(at_s: int) -> bytes:
    return struct.pack("<I", at_s)[:3]


def encounter(
    rotating_id: bytes,
    start_s: int,
    duration_s: int,
    sightings: int,
    rssi_mean: int,
    rssi_max: int,
    shares: int,
    flags: int,
) -> bytes:
    """One encounter; shares: three 4-bit fifteenths of the sightings above RSSI_NEAR, lowest
    nibble first; flags: bits 0-1 advertisement type (0, 2, 3), bit 2 random address."""
    return struct.pack(
        "<B12s3sHHbbH",
        ENCOUNTER,
        rotating_id,
        _time3(start_s),
        duration_s,
        sightings,
        rssi_mean,
        rssi_max,
        shares | flags << 12,
    )


def clock(
    at_s: int,
    at_ms: int,
    source: int,
    flags: int,
    utc_s: int,
    utc_ms: int,
    error_ms: int,
    was_utc_s: int,
) -> bytes:
    """Run time and UTC (Unix) at one moment; was_utc_s: the running UTC before a set, 0 if none."""
    return struct.pack(
        "<B3sHBBIHHI4s",
        CLOCK,
        _time3(at_s),
        at_ms,
        source,
        flags,
        utc_s,
        utc_ms,
        error_ms,
        was_utc_s,
        b"",
    )


def boot(at_s: int, reset_cause: int, clean: int, firmware: int, resets: int) -> bytes:
    """A start: machine.reset_cause(), whether the band had shut down cleanly, firmware
    version (major << 16 | minor << 8 | patch), resets since the log began."""
    return struct.pack("<B3sBBIH12s", BOOT, _time3(at_s), reset_cause, clean, firmware, resets, b"")


def health(
    at_s: int,
    evicted: int,
    unwritten: int,
    refused_rotations: int,
    handler_errors: int,
    late_scans: int,
    battery_mv: int,
    heap_low: int,
    sightings: int,
) -> bytes:
    """Losses since the last health mark: table-full evictions, encounters over the slot's
    quota, refused address rotations, IRQ errors, scans that did not end by themselves;
    battery (mV), lowest free heap (bytes) and sightings handled. Counters saturate."""
    return struct.pack(
        "<B3sHHHHHHII",
        HEALTH,
        _time3(at_s),
        min(evicted, 65535),
        min(unwritten, 65535),
        min(refused_rotations, 65535),
        min(handler_errors, 65535),
        min(late_scans, 65535),
        battery_mv,
        heap_low,
        sightings,
    )


def mark(kind: int, at_s: int, value: int, number: int) -> bytes:
    """Dock (value BEGAN/ENDED), charge (BEGAN/ENDED, number: mV), state mark (value the state,
    number counts the issues so that two wearers in turn stay two), order, refusal or update."""
    return struct.pack("<B3sBI15s", kind, _time3(at_s), value, number, b"")


def loss(at_s: int, reason: int, first: int, end: int) -> bytes:
    """Slots from cursor `first` to before `end` are gone and were never receipted."""
    return struct.pack("<B3sBII11s", LOSS, _time3(at_s), reason, first, end, b"")


def new_key(at_s: int, half: int, day: int, key: bytes) -> bytes:
    """Half (0 or 1) of a new base key, 16 of its 32 bytes; day: UTC day since 1970 of its slot 0.
    Only a sealed log may hold it."""
    return struct.pack("<B3sBH16sB", NEW_KEY, _time3(at_s), half, day, key, 0)
