"""Dock messages: what a frame's payload says. Byte 0 is the type, numbers are little-endian.

Host to band: one message outstanding, at most frames.TO_BAND_MAX bytes as a frame. Band to
host: one answer a message, except PULL, which is answered by a stream of DATA. How a session
begins is in wire/hello.py.
"""

import struct

from .compat import const

# Host to band.
HELLO = const(0x01)
PROOF = const(0x04)
PULL = const(0x10)
ACK = const(0x11)
CLOCK_GET = const(0x12)
CLOCK_SET = const(0x13)
RECEIPT = const(0x14)
CUE = const(0x15)
STATE_SET = const(0x16)
SELF_TEST = const(0x17)
BYE = const(0x18)
ORDER = const(0x19)
SPEED = const(0x1A)
MANIFEST = const(0x1B)
PIECE = const(0x1C)

# Band to host.
HELLO_OK = const(0x81)
WELCOME = const(0x84)
DATA = const(0x90)
DATA_END = const(0x91)
CLOCK_NOW = const(0x92)
OK = const(0x93)
REFUSED = const(0x94)
SELF_TEST_OK = const(0x97)
WANTED = const(0x9B)

# Reasons in REFUSED.
BAD_MESSAGE = const(1)
UNKNOWN_TYPE = const(2)
OTHER_LOG = const(3)
CLOCK_JUMP = const(4)
BAD_RECEIPT = const(5)
NOT_PROVISIONED = const(6)
BAD_STATE = const(7)
FLASH_FAULT = const(8)
BAD_SPEED = const(9)
BAD_PROOF = const(10)
BAD_ORDER = const(11)
OLD_ORDER = const(12)
BAD_UPDATE = const(13)
OLD_UPDATE = const(14)
LOW_BATTERY = const(15)
NO_MEMORY = const(16)

# In the OK to an ORDER: an order waits for the clock, and would be void when a later one is done.
CLOCK_NEXT = const(1)

DATA_SLOTS = const(30)  # slots of 32 bytes in one DATA at most


def pull(log_id: int, first: int, window: int) -> bytes:
    """Ask for all slots from cursor `first` up to the head, at most `window` DATA unconfirmed."""
    return struct.pack("<BIIB", PULL, log_id, first, window)


def read_pull(payload: bytes) -> "tuple[int, int, int]":
    """(log_id, first, window). Raises ValueError."""
    if len(payload) != 10:
        raise ValueError("bad PULL")
    _, log_id, first, window = struct.unpack("<BIIB", payload)
    return log_id, first, window


def ack(upto: int) -> bytes:
    """Every slot before cursor `upto` has arrived; the band may send on."""
    return struct.pack("<BI", ACK, upto)


def read_ack(payload: bytes) -> int:
    """Cursor. Raises ValueError."""
    if len(payload) != 5:
        raise ValueError("bad ACK")
    return struct.unpack("<BI", payload)[1]


def data(first: int, slots: bytes) -> bytes:
    """Whole slots of one sector, as they are in flash, from cursor `first` on."""
    return struct.pack("<BI", DATA, first) + slots


def read_data(payload: bytes) -> "tuple[int, bytes]":
    """(first, slots). Raises ValueError."""
    size = len(payload) - 5
    if size < 32 or size % 32 or size > 32 * DATA_SLOTS:
        raise ValueError("bad DATA")
    return struct.unpack("<I", payload[1:5])[0], payload[5:]


def data_end(upto: int) -> bytes:
    """The stream is over: all slots before cursor `upto` were sent."""
    return struct.pack("<BI", DATA_END, upto)


def read_data_end(payload: bytes) -> int:
    """Cursor. Raises ValueError."""
    if len(payload) != 5:
        raise ValueError("bad DATA_END")
    return struct.unpack("<BI", payload)[1]


def clock_now(boot_id: int, run_s: int, run_ms: int, utc_s: int, utc_ms: int, flags: int) -> bytes:
    """Run time (run_s seconds and run_ms thousandths) and running UTC (0 when unset) at the
    moment of answering; flags: UTC_*."""
    return struct.pack("<BIIHIHB", CLOCK_NOW, boot_id, run_s, run_ms, utc_s, utc_ms, flags)


def read_clock_now(payload: bytes) -> "tuple[int, int, int, int, int, int]":
    """The arguments of `clock_now`. Raises ValueError."""
    if len(payload) != 18:
        raise ValueError("bad CLOCK_NOW")
    return struct.unpack("<BIIHIHB", payload)[1:]


def clock_set(utc_s: int, utc_ms: int, error_ms: int) -> bytes:
    """Set the band's UTC to this (Unix seconds, thousandths) with this error bound."""
    return struct.pack("<BIHH", CLOCK_SET, utc_s, utc_ms, error_ms)


def read_clock_set(payload: bytes) -> "tuple[int, int, int]":
    """(utc_s, utc_ms, error_ms). Raises ValueError."""
    if len(payload) != 9:
        raise ValueError("bad CLOCK_SET")
    return struct.unpack("<BIHH", payload)[1:]


def receipt(log_id: int, first: int, upto: int, mac: bytes) -> bytes:
    """The server holds the slots from cursor `first` (the last receipt's end) to before
    `upto`; mac (32 bytes) as wire.receipt makes it."""
    return struct.pack("<BIII32s", RECEIPT, log_id, first, upto, mac)


def read_receipt(payload: bytes) -> "tuple[int, int, int, bytes]":
    """(log_id, first, upto, mac). Raises ValueError."""
    if len(payload) != 45:
        raise ValueError("bad RECEIPT")
    return struct.unpack("<BIII32s", payload)[1:]


def order(data: bytes) -> bytes:
    """An order of the server (wire.orders), as it is."""
    return bytes((ORDER,)) + data


def one(kind: int, value: int = 0, number: int = 0) -> bytes:
    """CLOCK_GET, SELF_TEST and BYE (no value), CUE (kind of cue), STATE_SET (state, issue
    number), SPEED (0, baud), OK (0, or CLOCK_NEXT), SELF_TEST_OK (0, what failed), REFUSED
    (reason). A number where none is meant is passed over."""
    return struct.pack("<BBI", kind, value, number)


def read_one(payload: bytes) -> "tuple[int, int]":
    """(value, number). Raises ValueError."""
    if len(payload) != 6:
        raise ValueError("bad message")
    return struct.unpack("<BBI", payload)[1:]
