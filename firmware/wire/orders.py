"""Orders of the tracing server to one band; stations only carry them.

    number u32, 40 bytes of (kind u8, 39 bytes of body) hidden, MAC 32 bytes

All orders look alike to who carries them: that a band is to change its keys would tell that its
wearer is a case. Kind and body are mixed with a key stream of the band's receipt key and the
order's number, which is used once; the MAC is HMAC-SHA256 under the receipt key. Numbers only grow.
"""

import struct

from .compat import const
from .mac import hmac_sha256, same

UNLOCK = const(1)  # the REPL may be used again
REKEY = const(2)  # draw a new base key, tell it in the log
DOCK_KEY = const(3)  # body: group u16, generation u8, dock key 32
RETIRE = const(4)  # forget the ID keys, send nothing any more
CLOCK = const(5)  # body: earliest UTC u32, latest UTC u32 that the next setting may have

ORDER_BYTES = const(76)
BODY_BYTES = const(39)
_LABEL = b"zoneband order 1"
_STREAM = b"zoneband order stream 1"


def _mix(key: bytes, serial: str, number: int, data: bytes) -> bytes:
    stream = b""
    for part in (b"\x00", b"\x01"):
        stream += hmac_sha256(key, _STREAM + serial.encode() + struct.pack("<I", number) + part)
    mixed = int.from_bytes(data, "big") ^ int.from_bytes(stream[:40], "big")
    return mixed.to_bytes(40, "big")


def _mac(key: bytes, serial: str, signed: bytes) -> bytes:
    return hmac_sha256(key, _LABEL + serial.encode() + signed)


def pack(receipt_key: bytes, serial: str, number: int, kind: int, body: bytes = b"") -> bytes:
    """An order (76 bytes). number: 1 to 2**31 - 1. Raises ValueError for a body over 39 bytes."""
    if len(body) > BODY_BYTES:
        raise ValueError("body too long")
    plain = bytes((kind,)) + bytes(body) + bytes(BODY_BYTES - len(body))
    signed = struct.pack("<I", number) + _mix(receipt_key, serial, number, plain)
    return signed + _mac(receipt_key, serial, signed)


def number_of(order: bytes) -> int:
    """The number of an order, genuine or not. Raises ValueError."""
    if len(order) != ORDER_BYTES:
        raise ValueError("not an order")
    return struct.unpack("<I", order[:4])[0]


def unpack(receipt_key: bytes, serial: str, order: bytes) -> "tuple[int, int, bytes]":
    """(number, kind, body padded to 39 bytes). Raises ValueError for one that this band's server
    did not make."""
    number = number_of(order)
    signed = bytes(order[:44])
    if not same(_mac(receipt_key, serial, signed), order[44:]):
        raise ValueError("not an order to this band")
    plain = _mix(receipt_key, serial, number, signed[4:])
    return number, plain[0], plain[1:]


def dock_key_body(group: int, generation: int, key: bytes) -> bytes:
    """Body of DOCK_KEY."""
    return struct.pack("<HB32s", group, generation, key)


def read_dock_key(body: bytes) -> "tuple[int, int, bytes]":
    """(group, generation, key) of DOCK_KEY."""
    return struct.unpack("<HB32s", body[:35])


def clock_body(earliest_utc_s: int, latest_utc_s: int) -> bytes:
    """Body of CLOCK."""
    return struct.pack("<II", earliest_utc_s, latest_utc_s)


def read_clock(body: bytes) -> "tuple[int, int]":
    """(earliest, latest) of CLOCK, UTC in seconds."""
    return struct.unpack("<II", body[:8])
