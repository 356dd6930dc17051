"""What `machine` has and a band seldom uses."""

import _air
import uos
import uselect


class UART:
    """One on the REPL's pins. Received bytes wait in `rxbuf` and drop when it is full; the
    REPL's own input goes on hearing the line. UART 0 gives the pins back."""

    def __init__(self, id, baudrate=9600, **settings):
        import struct

        self.stream = None
        baud = baudrate if id else 0
        _air.ask(_air.UART, struct.pack("<IH", baud, settings.get("rxbuf", 256)), _air.UART)
        if baud:
            self.stream = open(uos.getenv("ZB_UART"), "r+b", buffering=0)
            self._poll = uselect.poll()
            self._poll.register(self.stream, uselect.POLLIN)

    def readinto(self, buf):
        # What has come; None when nothing has.
        n = 0
        while n < len(buf) and self._poll.poll(0):
            buf[n] = self.stream.read(1)[0]
            n += 1
        return n or None

    def write(self, data):
        return self.stream.write(data)

    def deinit(self):
        if self.stream:
            self.stream.close()
            self.stream = None


class Timer:
    """Only what a band uses one for: to feed the watchdog while an engineer is at the REPL.
    Here the watchdog is put to sleep instead."""

    PERIODIC = 1

    def __init__(self, id=0):
        pass

    def init(self, mode=PERIODIC, period=0, callback=None):
        _air.send(_air.WATCHDOG, bytes(4))

    def deinit(self):
        pass
