"""Packets between the air and a VM: type u8, length u16, payload; vm/_air.py is the other end."""

import os
import select
import socket
import struct

HCI_COMMAND = 0x01
HCI_EVENT = 0x04
WAIT = 0xFE  # until u64 µs, flags u8; back: now u64, whether stdin has bytes u8
WATCHDOG = 0xFD  # ms u32: fed, for so long
PIN_GET = 0xFC
PIN_SET = 0xFB  # pin u8, level u8
SLEEP = 0xFA  # until u64 µs
UART = 0xF9  # baud u32 (0: the REPL has its pins again), receive buffer u16
PIN_EVENT = 0xF8  # now u64 µs: a pin changed while the band waited
RESET = 0xF6  # machine.reset()
ADC = 0xF7  # back: µV u32
TIMER = 0xF5  # whether one feeds the watchdog u8

STDIN, DEAF = 1, 2  # flags of WAIT


_HEAD = struct.Struct("<BH")
_WHOLE_S = 20  # in which a packet that has begun must come whole


class Reader:
    """Reads what a VM sends, with as few calls of the system as can be."""

    def __init__(self, sock: socket.socket) -> None:
        """sock: with a timeout, so that no read of it blocks."""
        self._fd = sock.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._held = b""

    def wait(self, timeout_s: float) -> bool:
        """Whether something is there to take, in at most that time."""
        return bool(self._poll.poll(timeout_s * 1000))

    def take(self) -> list[tuple[int, bytes]]:
        """(type, payload) of all packets that have come, at least one. Raises ConnectionError when
        the VM has ended, TimeoutError when it stops in the middle of a packet."""
        while True:
            try:
                more = os.read(self._fd, 65_536)
            except BlockingIOError:
                if not self.wait(_WHOLE_S):
                    raise TimeoutError from None
                continue
            if not more:
                raise ConnectionError
            self._held += more
            if found := self._whole():
                return found

    def _whole(self) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        at, held = 0, self._held
        while at + _HEAD.size <= len(held):
            kind, size = _HEAD.unpack_from(held, at)
            end = at + _HEAD.size + size
            if end > len(held):
                break
            found.append((kind, held[at + _HEAD.size : end]))
            at = end
        self._held = held[at:]
        return found


def write(sock: socket.socket, kind: int, payload: bytes) -> None:
    """Send one packet. Raises OSError."""
    sock.sendall(_HEAD.pack(kind, len(payload)) + payload)
