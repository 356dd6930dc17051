"""Packets between the air and a VM: type u8, length u16, payload; vm/_air.py is the other end."""

import socket
import struct

HCI_COMMAND = 0x01
HCI_EVENT = 0x04
WAIT = 0xFE  # until u64 µs, flags u8; back: now u64, whether stdin has bytes u8
WATCHDOG = 0xFD  # ms u32, 0: asleep
PIN_GET = 0xFC
PIN_SET = 0xFB  # pin u8, level u8
SLEEP = 0xFA  # until u64 µs
UART = 0xF9  # baud u32 (0: the REPL has its pins again), receive buffer u16
PIN_EVENT = 0xF8  # now u64 µs: a pin changed while the band waited
RESET = 0xF6  # machine.reset()
ADC = 0xF7  # back: µV u32

STDIN, DEAF = 1, 2  # flags of WAIT


def read(sock: socket.socket) -> tuple[int, bytes]:
    """(type, payload) of the next packet. Raises ConnectionError when the VM has ended."""
    kind, size = struct.unpack("<BH", _exactly(sock, 3))
    return kind, _exactly(sock, size)


def write(sock: socket.socket, kind: int, payload: bytes) -> None:
    """Send one packet. Raises OSError."""
    sock.sendall(struct.pack("<BH", kind, len(payload)) + payload)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data
