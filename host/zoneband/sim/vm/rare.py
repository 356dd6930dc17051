"""What `machine` has and a band seldom uses."""

import _air
import uos
import uselect


class UART:
    """One on the REPL's pins. Received bytes wait in `rxbuf` and drop when it is full; the
    REPL's own input goes on hearing the line. UART 0 gives the pins back, and raises OSError then:
    the REPL's has no driver that could be set up."""

    def __init__(self, id, baudrate=9600, **settings):
        import struct

        self.stream = None
        baud = baudrate if id else 0
        _air.ask(_air.UART, struct.pack("<IH", baud, settings.get("rxbuf", 256)), _air.UART)
        if not baud:
            raise OSError(-259)
        self.stream = open(uos.getenv("STAND_IN_UART"), "r+b", buffering=0)
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
    """Only what a band uses one for: to feed the watchdog while an engineer is at the REPL. Here
    the air does so, and the callback is never called. A reset, a soft one too, ends it."""

    PERIODIC = 1

    def __init__(self, id=0):
        pass

    def init(self, mode=PERIODIC, period=0, callback=None):
        _air.send(_air.TIMER, b"\x01")

    def deinit(self):
        _air.send(_air.TIMER, b"\x00")


class I2C:
    """The bus with the chips that STAND_IN_I2C names (`pcf8563:81,axp192:52`); others do not
    answer."""

    def __init__(self, id=0, *, scl=None, sda=None, freq=400000):
        self._chips = {}
        for each in (uos.getenv("STAND_IN_I2C") or "").split(","):
            name, _, address = each.partition(":")
            if name:
                self._chips[int(address)] = _Power() if name.startswith("axp") else _Clock()

    def scan(self):
        return sorted(self._chips)

    def _chip(self, address):
        if address not in self._chips:
            raise OSError(19)
        return self._chips[address]

    def readfrom_mem(self, address, register, size):
        chip = self._chip(address)
        return bytes(chip.read(register + n) for n in range(size))

    def writeto_mem(self, address, register, data):
        chip = self._chip(address)
        for n in range(len(data)):
            chip.write(register + n, data[n])


class _Clock:
    """PCF8563 or BM8563 after a loss of its own power. Differs from hardware: it stands still
    between two settings, and forgets when the band starts anew."""

    def __init__(self):
        self._registers = bytearray(16)
        self._registers[2] = 0x80

    def read(self, register):
        return self._registers[register]

    def write(self, register, value):
        self._registers[register] = value


class _Power:
    """AXP192 or AXP202: battery voltage and the cable's power, as the air says."""

    def __init__(self):
        self._registers = bytearray(256)

    def read(self, register):
        if register == 0:
            return 0x20 if _air.ask(_air.PIN_GET, b"\x00", _air.PIN_GET)[0] else 0
        if register in (0x78, 0x79):
            import struct

            steps = struct.unpack("<I", _air.ask(_air.ADC, b"", _air.ADC))[0] * 2 // 1100
            return steps >> 4 if register == 0x78 else steps & 15
        return self._registers[register]

    def write(self, register, value):
        self._registers[register] = value


class PWM:
    """A pin that is on while its duty is not 0."""

    def __init__(self, pin, *, freq=0, duty_u16=0):
        self._pin = pin

    def duty_u16(self, value):
        self._pin.value(1 if value else 0)
