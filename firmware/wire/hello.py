"""How a dock session begins: HELLO, HELLO_OK, PROOF, WELCOME. Numbers are little-endian.

    host                                  band
    HELLO salt                  ->
                                <-        HELLO_OK serial, whose key, nonce
    PROOF nonce, MAC            ->
                                <-        WELCOME state, MAC
    and from then on wire.handshake.Channel around every message, each way

What the host sends before the band knows it holds no 0x03: that would interrupt the band's program.
"""

import struct

from . import frames
from .compat import const
from .messages import HELLO, HELLO_OK, PROOF, WELCOME

PROTOCOL = const(2)

_HELLO_OK = "<BB12sHBHI16s"
_WELCOME = "<B12sBBBBIIIIIHHIIB"


def hello(salt: int) -> bytes:
    """The first message of a session; see `quiet`."""
    return struct.pack("<BBI", HELLO, PROTOCOL, salt)


def quiet(payload: bytes) -> bool:
    """Whether the frame of a payload is free of 0x03; else its random part is drawn anew (19 in 20
    HELLOs and 4 in 5 PROOFs are)."""
    return b"\x03" not in frames.encode(payload)


def read_hello(payload: bytes) -> "tuple[int, int]":
    """(protocol, salt). Raises ValueError."""
    if len(payload) != 6:
        raise ValueError("bad HELLO")
    _, protocol, salt = struct.unpack("<BBI", payload)
    return protocol, salt


def hello_ok(
    serial: str, group: int, generation: int, flags: int, salt: int, nonce: bytes
) -> bytes:
    """A band's answer to HELLO: who it is, whose key its dock key was made of, flags (PROVISIONED,
    LOCKED, LOG_FAULT), the HELLO's salt and a nonce (16 bytes) for the handshake."""
    return struct.pack(
        _HELLO_OK, HELLO_OK, PROTOCOL, serial.encode(), group, generation, flags, salt, nonce
    )


def read_hello_ok(payload: bytes) -> "tuple[str, int, int, int, int, bytes]":
    """The arguments of `hello_ok`. Raises ValueError."""
    if len(payload) != struct.calcsize(_HELLO_OK) or payload[:2] != bytes((HELLO_OK, PROTOCOL)):
        raise ValueError("bad HELLO_OK")
    _, _, serial, group, generation, flags, salt, nonce = struct.unpack(_HELLO_OK, payload)
    return serial.rstrip(b"\x00").decode(), group, generation, flags, salt, nonce


def proof(nonce: bytes, mac: bytes) -> bytes:
    """The host's nonce (16 bytes) and MAC (32) of wire.handshake."""
    return bytes((PROOF,)) + nonce + mac


def read_proof(payload: bytes) -> "tuple[bytes, bytes]":
    """(nonce, mac). Raises ValueError."""
    if len(payload) != 49:
        raise ValueError("bad PROOF")
    return bytes(payload[1:17]), bytes(payload[17:])


def welcome(
    board: str,
    firmware: "tuple[int, int, int]",
    state: int,
    log_id: int,
    boot_id: int,
    tail: int,
    head: int,
    receipted: int,
    flags: int,
    battery_mv: int,
    sectors: int,
    order: int,
    signer: int,
) -> bytes:
    """A band's answer to a good PROOF: its state, what its log spans (cursors tail <= receipted <=
    head; sectors: size of the ring), the number of its last order, and of the key whose updates it
    takes (0: none's). Its MAC (32 bytes) follows: handshake.proof over the nonces and this."""
    return struct.pack(
        _WELCOME,
        WELCOME,
        board.encode(),
        firmware[0],
        firmware[1],
        firmware[2],
        state,
        log_id,
        boot_id,
        tail,
        head,
        receipted,
        flags,
        battery_mv,
        sectors,
        order,
        signer,
    )


def read_welcome(
    payload: bytes,
) -> "tuple[str, tuple[int, int, int], int, int, int, int, int, int, int, int, int, int, int]":
    """The arguments of `welcome`, of a payload with its MAC. Raises ValueError."""
    if len(payload) != struct.calcsize(_WELCOME) + 32 or payload[0] != WELCOME:
        raise ValueError("bad WELCOME")
    f = struct.unpack(_WELCOME, payload[:-32])
    board = f[1].rstrip(b"\x00").decode()
    return (
        board,
        (f[2], f[3], f[4]),
        f[5],
        f[6],
        f[7],
        f[8],
        f[9],
        f[10],
        f[11],
        f[12],
        f[13],
        f[14],
        f[15],
    )
