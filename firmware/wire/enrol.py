"""What proves that a band holds the keys it was given, without showing them.

Host and band each compute it; the band from what it reads back out of its flash.
"""

import hashlib

from . import bluezone

_LABEL = b"zoneband keys 1"


def check(
    serial: str, slot_key: bytes, next_day_key: bytes, dock_key: bytes, receipt_key: bytes
) -> bytes:
    """16 bytes over serial and keys (32 bytes each) as they stand right after provisioning."""
    parts = (_LABEL, serial.encode(), slot_key, next_day_key, dock_key, receipt_key)
    return hashlib.sha256(b"".join(parts)).digest()[:16]


def check_of(serial: str, base_key: bytes, dock_key: bytes, receipt_key: bytes) -> bytes:
    """The same from the base key, as the provisioning computer has it."""
    slot_key = bluezone.first_slot_key(base_key)
    return check(serial, slot_key, bluezone.next_day_key(base_key), dock_key, receipt_key)
