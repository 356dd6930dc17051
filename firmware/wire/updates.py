"""Dock messages of an update: MANIFEST and PIECE to the band, each answered with WANTED.

The host sends what was wanted last until the band has it whole; so a dock that broke off is taken
up where it ended, and a message that comes twice does no harm. Numbers are little-endian.
"""

import struct

from .compat import const
from .messages import MANIFEST, PIECE, WANTED

# With type, offset and what the session's channel adds it stays below frames.TO_BAND_MAX.
PIECE_BYTES = const(150)

# What a band wants.
OF_APP = const(0)
OF_MANIFEST = const(254)
NOTHING = const(255)  # all is there: it starts anew when the session is over


def manifest(offset: int, total: int, data: bytes) -> bytes:
    """Bytes of the manifest and its signature from an offset on; total: of both."""
    return struct.pack("<BHH", MANIFEST, offset, total) + data


def read_manifest(payload: bytes) -> "tuple[int, int, bytes]":
    """The arguments of `manifest`. Raises ValueError."""
    if not 5 < len(payload) <= 5 + PIECE_BYTES:
        raise ValueError("bad MANIFEST")
    _, offset, total = struct.unpack("<BHH", payload[:5])
    return offset, total, payload[5:]


def piece(offset: int, data: bytes) -> bytes:
    """Bytes of the application file from an offset on."""
    return struct.pack("<BI", PIECE, offset) + data


def read_piece(payload: bytes) -> "tuple[int, bytes]":
    """(offset, data). Raises ValueError."""
    if not 5 < len(payload) <= 5 + PIECE_BYTES:
        raise ValueError("bad PIECE")
    return struct.unpack("<I", payload[1:5])[0], payload[5:]


def wanted(what: int, offset: int = 0) -> bytes:
    """What the band wants next (OF_APP, OF_MANIFEST, NOTHING), from an offset on."""
    return struct.pack("<BBI", WANTED, what, offset)


def read_wanted(payload: bytes) -> "tuple[int, int]":
    """(what, offset). Raises ValueError."""
    if len(payload) != 6:
        raise ValueError("bad WANTED")
    return struct.unpack("<BBI", payload)[1:]
