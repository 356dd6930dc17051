"""`machine` of an ESP32: what survives which reset is as on the chip.

RTC memory outlives deep sleep, soft and watchdog resets; the supervisor wipes it when power or
the EN pin goes. Differs from hardware: the battery has the voltage that the supervisor says, and
never drains.
"""

import struct

import _air
import uos
from flashmap import DIR
from micropython import const
from umachine import *  # noqa: F403

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

_RTC_BYTES = const(2048)


def __getattr__(name):
    # Seldom used, and large beside a band's heap: loaded when asked for.
    import rare

    return getattr(rare, name)


def freq(hz=None):
    return 80000000


def unique_id():
    return (uos.getenv("STAND_IN_NAME") or "band").encode()[:6]


def reset_cause():
    return int(uos.getenv("STAND_IN_RESET_CAUSE") or "1")


def _exit(code):
    # The supervisor reads the code as the reset's kind.
    import sys

    sys.exit(code)


def reset():
    # The supervisor starts the band anew; where there is none, the exit code tells.
    _air.send(_air.RESET, b"")
    _exit(30)


def deepsleep(ms=0):
    import struct

    _air.send(_air.SLEEP, struct.pack("<Q", _air.now_us + ms * 1000))
    _exit(31)


class Pin:
    IN = 1
    OUT = 3
    PULL_UP = 2
    PULL_DOWN = 1

    def __init__(self, number, mode=IN, pull=None, value=None):
        self._number = number
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is None:
            data = _air.ask(_air.PIN_GET, bytes([self._number]), _air.PIN_GET)
            return data[0] if data else 0
        _air.send(_air.PIN_SET, bytes([self._number, 1 if level else 0]))

    def irq(self, handler=None, trigger=3, **_):
        # Any pin's change calls the one handler: only the power pin ever changes. Differs from
        # hardware: a change during the handler's own waits calls it again, within itself.
        _air.on_pin = (lambda: handler(self)) if handler else None

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin, atten=0):
        self._pin = pin

    def read_uv(self):
        data = _air.ask(_air.ADC, b"", _air.ADC)
        return struct.unpack("<I", data)[0] if data else 1950000


def _keep(data):
    # Length and bytes in one write over the old ones, which a shorter copy leaves behind it as on
    # the chip; never through an emptied file, which a VM killed in the middle would leave.
    try:
        f = open(DIR + "/rtc.bin", "r+b")
    except OSError:
        f = open(DIR + "/rtc.bin", "wb")
    with f:
        f.write(struct.pack("<H", len(data)) + data)


class RTC:
    def memory(self, data=None):
        if data is None:
            try:
                with open(DIR + "/rtc.bin", "rb") as f:
                    data = f.read()
                return data[2 : 2 + struct.unpack_from("<H", data)[0]] if data else b""
            except OSError:
                return b""
        if len(data) > _RTC_BYTES:
            raise ValueError("buffer too long")
        if uos.getenv("STAND_IN_CUT"):
            import cutpower

            kept = cutpower.spend(len(data))
            if kept < len(data):
                data = bytes(data[:kept]) + self.memory()[kept:]
                _keep(data)
                cutpower.die()
        _keep(data)


class WDT:
    """Cannot be stopped, and goes through a soft reset; bites in virtual time."""

    def __init__(self, id=0, timeout=5000):
        self._timeout = timeout
        self.feed()

    def feed(self):
        import struct

        _air.send(_air.WATCHDOG, struct.pack("<I", self._timeout))
