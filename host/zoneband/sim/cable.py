"""A virtual band's serial cable: one port for the host, the REPL's terminal and a UART for the VM.

As on a chip: 260 bytes of REPL input that drop in silence when full; REPL output of at most 128
bytes per 10 ms; a line that carries baud / 10 bytes a second each way; a host at another baud
than the band sends and gets noise; a UART on the same pins with its own buffers, while the
REPL's input goes on hearing the line. Differs from hardware: framing errors come as altered
bytes, never as missing ones.
"""

import fcntl
import os
import select
import struct
import termios
import time
import tty
from collections import deque

STDIN_RING = 260
STDOUT_CHUNK, STDOUT_TICK_S = 128, 0.01
REPL_BAUD = 115200
_BAUDS = {
    getattr(termios, f"B{baud}"): baud
    for baud in (9600, 38400, 57600, 115200, 230400, 460800, 921600)
}
_NOISE = bytes(n ^ 0xA5 for n in range(256))
_BURST_S = 0.08  # how far the line may catch up when this program was late


class _Terminal:
    """A pty in raw mode: `master` is this program's end, `path` the VM's."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(self.slave)

    def waiting(self) -> int:
        """Bytes that the VM has not read yet."""
        size = fcntl.ioctl(self.slave, termios.FIONREAD, b"\x00" * 4)
        return struct.unpack("i", size)[0]

    def feed(self, data: bytes, ring: int) -> int:
        """Hand bytes to the VM as far as its ring has room; how many were dropped."""
        room = max(0, ring - self.waiting())
        if data[:room]:
            os.write(self.master, data[:room])
        return len(data[room:])

    def take(self, size: int) -> bytes:
        """What the VM has written, b"" when nothing waits."""
        try:
            return os.read(self.master, size)
        except OSError:
            return b""

    def close(self) -> None:
        """Free both ends."""
        os.close(self.master)
        os.close(self.slave)


class Cable:
    """All calls come from the simulation's thread."""

    def __init__(self) -> None:
        self.repl = _Terminal()
        self.uart = _Terminal()
        self.port: str | None = None
        self.dropped = 0
        self._host = -1
        self._uart_baud = 0
        self._uart_ring = 0
        self._next_out = 0.0
        self._next_in = 0.0
        self._rom_baud = 0  # while the chip's boot ROM has the line
        self._rom_out: deque[tuple[bytes, int]] = deque()

    # --- the plug ---------------------------------------------------------------------------

    def plug(self) -> str:
        """Put the cable in; its new port."""
        if self.port is None:
            self._host, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(self._host, False)
            self.port = os.ttyname(slave)
            os.close(slave)
        return self.port

    def unplug(self) -> None:
        """Pull the cable out: the port is gone."""
        if self.port is not None:
            os.close(self._host)
            self._host = -1
            self.port = None

    def host_is_open(self) -> bool:
        """Whether some program has the port open."""
        if self.port is None:
            return False
        poll = select.poll()
        poll.register(self._host, select.POLLIN)
        return not any(flags & select.POLLHUP for _, flags in poll.poll(0))

    def close(self) -> None:
        """Free all terminals."""
        self.unplug()
        self.repl.close()
        self.uart.close()

    # --- the band's side --------------------------------------------------------------------

    def move(self, baud: int, ring: int) -> None:
        """The band opened a UART on the pins, or with 0 gave them back to the REPL."""
        self._uart_baud, self._uart_ring = baud, ring
        while self.uart.take(65536):
            pass

    def reset(self) -> None:
        """The chip starts anew: what was on the way is lost."""
        self.move(0, 0)
        self.download(0)
        if self.port is not None:
            try:
                while os.read(self._host, 4096):
                    pass
            except OSError:
                pass

    def download(self, baud: int) -> None:
        """The chip's boot ROM has the line, at this speed; 0: the program again."""
        self._rom_baud = baud
        if not baud:
            self._rom_out.clear()

    def answer(self, data: bytes, baud: int) -> None:
        """Bytes of the boot ROM, to go out at a speed."""
        self._rom_out.append((data, baud))

    def band_waiting(self) -> int:
        """Bytes that wait for the band where it reads now."""
        return (self.uart if self._uart_baud else self.repl).waiting()

    # --- the line ---------------------------------------------------------------------------

    @property
    def _baud(self) -> int:
        return self._rom_baud or self._uart_baud or REPL_BAUD

    def host_baud(self) -> int:
        """The speed that the host's side is set to, 0 when it is none of the usual."""
        try:
            return _BAUDS.get(termios.tcgetattr(self._host)[5], 0)
        except termios.error:
            return 0

    def _garbled(self, data: bytes, baud: int) -> bytes:
        return data if self.host_baud() == baud else data.translate(_NOISE)

    def from_host(self) -> bytes:
        """What the host's line brought by now."""
        now = time.monotonic()
        if self.port is None or now < self._next_in:
            return b""
        self._next_in = max(self._next_in, now - _BURST_S)
        size = max(16, int((now - self._next_in) * self._baud / 10))
        try:
            data = os.read(self._host, size)
        except OSError:
            data = b""
        if not data:
            self._next_in = now
            return b""
        self._next_in += len(data) * 10 / self._baud
        return self._garbled(data, self._baud)

    def hand_over(self, data: bytes) -> None:
        """Bytes from the line to the band: to the UART where there is one, to the REPL always."""
        if self._uart_baud:
            self.dropped += self.uart.feed(data, self._uart_ring)
            self.repl.feed(data.translate(_NOISE), STDIN_RING)
        else:
            self.dropped += self.repl.feed(data, STDIN_RING)

    def to_host(self) -> None:
        """Carry what the band wrote, at the line's pace and the REPL's."""
        if self._rom_baud:
            self._rom_to_host()
            return
        if self._uart_baud:
            self.repl.take(65536)  # the pins are the UART's
        now = time.monotonic()
        if now < self._next_out:
            return
        listening = self.host_is_open()
        rate = self._baud / 10
        if not self._uart_baud:
            rate = min(rate, STDOUT_CHUNK / STDOUT_TICK_S)
        self._next_out = max(self._next_out, now - _BURST_S)
        size = max(STDOUT_CHUNK, int((now - self._next_out) * rate))
        data = (self.uart if self._uart_baud else self.repl).take(size if listening else 65536)
        if not data:
            self._next_out = now  # an idle line saves nothing up
            return
        self._next_out += len(data) / rate
        if listening:
            self.say(self._garbled(data, self._baud))

    def _rom_to_host(self) -> None:
        now = time.monotonic()
        self._next_out = max(self._next_out, now - _BURST_S)
        while self._rom_out and now >= self._next_out:
            data, baud = self._rom_out.popleft()
            self.say(self._garbled(data, baud))
            self._next_out += len(data) * 10 / baud

    def say(self, data: bytes) -> None:
        """Bytes to the host, as the chip's own start sends them."""
        if self.host_is_open():
            try:
                os.write(self._host, data)
            except OSError:
                pass  # the reader went away: a USB port loses it too
