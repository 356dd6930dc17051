"""The tracing server's receipt: an HMAC that only the band can check.

HMAC-SHA256 (RFC 2104) under the band's receipt key over label, serial, log id, first and end
cursor, and the SHA-256 of the slots between them.
"""

import struct

from .mac import hmac_sha256

_LABEL = b"zoneband receipt 1"


def mac(key: bytes, serial: str, log_id: int, first: int, upto: int, slots_sha256: bytes) -> bytes:
    """The receipt's 32 bytes; slots_sha256: hash of all 32-byte slots in [first, upto), in
    order, as they are in flash. Slots that the band itself declared lost are left out."""
    message = _LABEL + serial.encode() + struct.pack("<III", log_id, first, upto) + slots_sha256
    return hmac_sha256(key, message)
