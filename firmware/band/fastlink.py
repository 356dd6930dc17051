# For speed: a UART of its own on the REPL's pins, while a session lasts.
#
# The REPL passes at most 128 bytes per 10 ms whatever the baud; a UART's driver has no such
# ceiling. Proved on virtual bands only.

import select

from wire.compat import const

from .link import Link

_CHUNK = const(256)
_REPL_BAUD = const(115200)


class FastLink(Link):
    def __init__(self, machine, pins, baud):
        self._machine = machine
        self._pins = pins
        self._buf = bytearray(_CHUNK)
        self._out = machine.UART(1, baud, tx=pins[0], rx=pins[1], txbuf=4096, rxbuf=1024)
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)

    def read(self, timeout_ms):
        if not self.wait(timeout_ms):
            return b""
        n = self._out.readinto(self._buf)
        return bytes(self._buf[:n]) if n else b""

    def close(self):
        # The pins go back to the REPL, whose input has heard noise meanwhile.
        self._out.deinit()
        try:
            self._machine.UART(0, _REPL_BAUD, tx=self._pins[0], rx=self._pins[1])
        except OSError:
            # MicroPython gives the REPL's UART no driver, and then fails to set that up. Speed and
            # pins come before it.
            pass
        repl = Link()
        while repl.read(0):
            pass
