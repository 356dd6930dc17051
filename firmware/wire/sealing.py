"""How format 1 of the band log hides its records and proves who wrote them.

A key group carries a 32-byte secret, sealed to the authority by HPKE under `info`. The first slot
behind the group uses that secret, every further slot the SHA-256 of the one before, torn slots
included. A slot's secret gives an AES-128-CTR key (used for this slot alone, counter from 0) and,
mixed with the band's log key, a key for its tag. Stations know no log key: they cannot write a log.
"""

import hashlib
import struct

from .compat import const
from .mac import hmac_sha256

SECRET_BYTES = const(32)
SEALED_BYTES = const(80)
# Counter blocks 0 and 1: a record is 24 bytes.
COUNTERS = bytes(31) + b"\x01"

_INFO = b"zoneband log 1"
_LOG_KEY = b"zoneband log key 1"
_CIPHER = b"zoneband slot cipher 1"
_TAG = b"zoneband slot tag 1"


def info(serial: str, header: bytes, group_head: bytes) -> bytes:
    """HPKE's `info` of a key group: its band, its sector's header (32 bytes) and its own first 12
    bytes."""
    return _INFO + serial.encode() + bytes(header) + bytes(group_head)


def log_key(receipt_key: bytes) -> bytes:
    """What only band and server mix into tags (32 bytes)."""
    return hmac_sha256(receipt_key, _LOG_KEY)


def next_secret(secret: bytes) -> bytes:
    """Secret of the following slot (32 bytes)."""
    return hashlib.sha256(secret).digest()


def cipher_key(secret: bytes) -> bytes:
    """AES-128 key of a slot."""
    return hashlib.sha256(_CIPHER + secret).digest()[:16]


def tag_key(secret: bytes, band_log_key: bytes) -> bytes:
    """HMAC key of a slot (32 bytes)."""
    return hashlib.sha256(_TAG + secret + band_log_key).digest()


def tag(key: bytes, log_id: int, sector: int, slot: int, ciphertext: bytes) -> bytes:
    """Tag of a slot (8 bytes): binds 24 bytes of ciphertext to their place."""
    return hmac_sha256(key, struct.pack("<IIH", log_id, sector, slot) + bytes(ciphertext))[:8]


def mix(record: bytes, stream: bytes) -> bytes:
    """A record (24 bytes) and its key stream, either way; the stream may be longer."""
    mixed = int.from_bytes(record, "big") ^ int.from_bytes(stream[:24], "big")
    return mixed.to_bytes(24, "big")
