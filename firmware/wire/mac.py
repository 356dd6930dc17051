"""HMAC-SHA256 (RFC 2104; checked by RFC 4231), which MicroPython has no module for."""

import hashlib

# Whole keys at once: a loop over bytes costs an ESP32 milliseconds. Big-endian 64-byte numbers.
_INNER = int.from_bytes(b"\x36" * 64, "big")
_OUTER = int.from_bytes(b"\x5c" * 64, "big")


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 (32 bytes) for keys of at most 64 bytes. Raises ValueError for a longer key."""
    if len(key) > 64:
        raise ValueError("key too long")
    number = int.from_bytes(bytes(key) + bytes(64 - len(key)), "big")
    inner = hashlib.sha256((number ^ _INNER).to_bytes(64, "big"))
    inner.update(message)
    outer = hashlib.sha256((number ^ _OUTER).to_bytes(64, "big"))
    outer.update(inner.digest())
    return outer.digest()


def same(a: bytes, b: bytes) -> bool:
    """Whether two MACs are equal, in a time that does not tell where they differ."""
    if len(a) != len(b):
        return False
    diff = 0
    for i in range(len(a)):
        diff |= a[i] ^ b[i]
    return diff == 0
