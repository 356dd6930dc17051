"""Bluezone 2.x/3.x rotating IDs and their beacon.

A 32-byte base key gives one key a UTC day by a SHA-256 chain; each day key gives 96
sub-keys, one per 15 minutes, and 12 bytes of a sub-key are the ID on air. Checked by
tests/vectors/bluezone.json, made with the Android release's own generator.
"""

import hashlib

from .compat import const

KEY_BYTES = const(32)
ID_BYTES = const(12)
SLOTS_PER_DAY = const(96)
SLOT_S = const(900)
DAY_S = const(86400)

# Spelled without the "e" in the original: it is part of the protocol.
_SALT = b"bluzonesubkey"
# Which bytes of a sub-key make the ID.
ON_AIR = (0, 4, 8, 12, 16, 18, 20, 22, 24, 26, 28, 30)
# Legacy advertisement: flags, service UUID 0x4E56, company 0x22B5, then the ID.
_BEACON = b"\x02\x01\x06\x03\x03\x56\x4e\x0f\xff\xb5\x22"
BEACON_BYTES = const(23)

_AD_UUID16_SOME = const(0x02)
_AD_UUID16_ALL = const(0x03)
_AD_MANUFACTURER = const(0xFF)


def next_day_key(day_key: bytes) -> bytes:
    """Key of the following UTC day (32 bytes)."""
    return hashlib.sha256(day_key).digest()


def first_slot_key(day_key: bytes) -> bytes:
    """Sub-key of the day's slot 0 (32 bytes)."""
    return hashlib.sha256(bytes(day_key) + _SALT).digest()


def next_slot_key(slot_key: bytes) -> bytes:
    """Sub-key of the following slot of the same day (32 bytes)."""
    return hashlib.sha256(slot_key).digest()


def id_of(slot_key: bytes) -> bytes:
    """The 12 bytes of a sub-key that go on air."""
    return bytes([slot_key[i] for i in ON_AIR])


def day_ids(day_key: bytes, slots: int = SLOTS_PER_DAY) -> "list[bytes]":
    """All IDs of one day in slot order."""
    key = first_slot_key(day_key)
    ids = [id_of(key)]
    for _ in range(slots - 1):
        key = next_slot_key(key)
        ids.append(id_of(key))
    return ids


def slot_at(utc_s: int) -> int:
    """Slot of the day (0..95) at a Unix time in seconds."""
    return utc_s % DAY_S // SLOT_S


def beacon(rotating_id: bytes) -> bytes:
    """Advertising data of one band or phone (23 bytes)."""
    return _BEACON + bytes(rotating_id)


def find_id(adv_data: "bytes | memoryview") -> int:
    """Offset of the ID in advertising data, or -1 if it is no Bluezone beacon.

    Fields may come in any order; both the service UUID and the company must be there and
    the manufacturer data must hold exactly 12 bytes. Keeps nothing on the heap: runs per sighting.
    """
    size = len(adv_data)
    pos = 0
    at = -1
    seen = False
    while pos + 1 < size:
        n = adv_data[pos]
        if n == 0 or pos + n >= size:
            break
        kind = adv_data[pos + 1]
        if kind == _AD_MANUFACTURER:
            if n == 15 and adv_data[pos + 2] == 0xB5 and adv_data[pos + 3] == 0x22:
                at = pos + 4
        elif kind == _AD_UUID16_ALL or kind == _AD_UUID16_SOME:
            i = pos + 2
            while i + 1 <= pos + n:
                if adv_data[i] == 0x56 and adv_data[i + 1] == 0x4E:
                    seen = True
                i += 2
        pos += n + 1
    return at if seen else -1
