"""The tracing server's receipt: an HMAC that only the band can check.

HMAC-SHA256 (RFC 2104) under the band's receipt key over label, serial, log id, first and end
cursor, and the SHA-256 of the slots between them. MicroPython has no hmac module.
"""

import hashlib
import struct

_LABEL = b"zoneband receipt 1"


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 for keys of at most 64 bytes (RFC 4231 checks it)."""
    if len(key) > 64:
        raise ValueError("key too long")
    pad = bytes(key) + bytes(64 - len(key))
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in pad))
    inner.update(message)
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in pad))
    outer.update(inner.digest())
    return outer.digest()


def mac(key: bytes, serial: str, log_id: int, first: int, upto: int, slots_sha256: bytes) -> bytes:
    """The receipt's 32 bytes; slots_sha256: hash of all 32-byte slots in [first, upto), in
    order, as they are in flash. Slots that the band itself declared lost are left out."""
    message = _LABEL + serial.encode() + struct.pack("<III", log_id, first, upto) + slots_sha256
    return hmac_sha256(key, message)


def same(a: bytes, b: bytes) -> bool:
    """Whether two MACs are equal, in a time that does not tell where they differ."""
    if len(a) != len(b):
        return False
    diff = 0
    for i in range(len(a)):
        diff |= a[i] ^ b[i]
    return diff == 0
