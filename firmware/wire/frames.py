"""Frames on the serial cable: COBS(payload + CRC-32 little-endian) + 0x00.

COBS: Cheshire & Baker, "Consistent Overhead Byte Stuffing" (1999). CRC-32: IEEE 802.3,
as binascii.crc32. A 0x00 never occurs inside a frame, so a reader finds its place again
at the next delimiter after any noise.
"""

import binascii
import struct

from .compat import const

# The band's stdin ring holds 260 bytes and drops in silence: frames to it stay below.
TO_BAND_MAX = const(200)
# 30 slots of 32 bytes, the cursor and the type: the largest frame a band sends.
PAYLOAD_MAX = const(1024)
_FRAME_MAX = const(1024 + 4 + 6)


def encode(payload: bytes) -> bytes:
    """Frame for one payload, delimiter included. Raises ValueError above PAYLOAD_MAX."""
    if len(payload) > PAYLOAD_MAX:
        raise ValueError("payload too long")
    data = bytes(payload) + struct.pack("<I", binascii.crc32(payload) & 0xFFFFFFFF)
    size = len(data)
    out = bytearray(size + size // 254 + 2)
    src = memoryview(data)
    at = 0
    pos = 0
    # Whole runs between zeros move by slice: a byte-wise loop would cost an ESP32 more
    # time than the line does.
    while True:
        zero = data.find(b"\x00", pos)
        end = size if zero < 0 else zero
        while end - pos >= 254:
            out[at] = 255
            out[at + 1 : at + 255] = src[pos : pos + 254]
            at += 255
            pos += 254
            if pos == size:
                # A full last block needs no empty block behind it.
                return bytes(out[:at]) + b"\x00"
        run = end - pos
        out[at] = run + 1
        out[at + 1 : at + 1 + run] = src[pos:end]
        at += run + 1
        if zero < 0:
            return bytes(out[:at]) + b"\x00"
        pos = zero + 1


def decode(frame: bytes) -> bytes:
    """Payload of one frame without its delimiter. Raises ValueError when damaged."""
    size = len(frame)
    if size < 6 or size > _FRAME_MAX:
        raise ValueError("bad length")
    out = bytearray()
    pos = 0
    while pos < size:
        code = frame[pos]
        if code == 0 or pos + code > size:
            raise ValueError("bad COBS")
        out += frame[pos + 1 : pos + code]
        pos += code
        if code != 255 and pos < size:
            out.append(0)
    if len(out) < 5:
        raise ValueError("bad length")
    payload = bytes(out[:-4])
    if struct.unpack("<I", out[-4:])[0] != binascii.crc32(payload) & 0xFFFFFFFF:
        raise ValueError("bad CRC")
    return payload


class Decoder:
    """Finds frames in a byte stream; noise, half frames and over-long ones are counted and left."""

    def __init__(self) -> None:
        self.damaged = 0
        self._buffer = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> "list[bytes]":
        """Payloads completed by `data`, in order."""
        payloads: "list[bytes]" = []
        data = bytes(data)
        pos = 0
        while True:
            zero = data.find(b"\x00", pos)
            end = len(data) if zero < 0 else zero
            if not self._skipping:
                if len(self._buffer) + end - pos > _FRAME_MAX:
                    self._buffer = bytearray()
                    self._skipping = True
                else:
                    self._buffer += data[pos:end]
            if zero < 0:
                return payloads
            if self._skipping:
                self._skipping = False
                self.damaged += 1
            elif self._buffer:
                try:
                    payloads.append(decode(bytes(self._buffer)))
                except ValueError:
                    self.damaged += 1
            self._buffer = bytearray()
            pos = zero + 1
