# Clock and power chips on a board's I2C bus, named by board.json.
#
# Registers: PCF8563 data sheet (NXP, rev. 11), which the BM8563 shares; AXP192 and AXP202 data
# sheets (X-Powers), whose power status and battery voltage lie at the same places.

_I2C_HZ = 100000
_SECONDS = 2
_STOPPED = 0x80
_STATUS = 0x00
_ADC_ON = 0x82
_BATTERY = 0x78
_VBUS = 0x20
# 2000-01-01, from which the chip's two-digit years count.
_Y2000_S = 946684800
_MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _bcd(n):
    return n // 10 << 4 | n % 10


def _from_bcd(b):
    return (b >> 4) * 10 + (b & 15)


def _days_in(year, month):
    # Years 2000 to 2099: every fourth is a leap year.
    return 29 if month == 2 and year % 4 == 0 else _MONTHS[month - 1]


class RtcChip:
    def __init__(self, i2c, address):
        self._i2c = i2c
        self._address = address

    def set(self, utc_s):
        days, rest = divmod(utc_s - _Y2000_S, 86400)
        weekday = (days + 6) % 7
        year = 0
        while days >= (366 if year % 4 == 0 else 365):
            days -= 366 if year % 4 == 0 else 365
            year += 1
        month = 1
        while days >= _days_in(year, month):
            days -= _days_in(year, month)
            month += 1
        fields = (rest % 60, rest // 60 % 60, rest // 3600, days + 1, weekday, month, year)
        self._i2c.writeto_mem(self._address, _SECONDS, bytes(_bcd(n) for n in fields))

    def utc_s(self):
        # 0 when the chip has lost power since it was set.
        raw = self._i2c.readfrom_mem(self._address, _SECONDS, 7)
        if raw[0] & _STOPPED:
            return 0
        masks = (0x7F, 0x7F, 0x3F, 0x3F, 0x07, 0x1F, 0xFF)
        fields = [_from_bcd(raw[i] & masks[i]) for i in range(7)]
        second, minute, hour, day, _, month, year = fields
        if not 1 <= month <= 12:
            return 0
        days = year * 365 + (year + 3) // 4 + day - 1
        for each in range(1, month):
            days += _days_in(year, each)
        return _Y2000_S + days * 86400 + hour * 3600 + minute * 60 + second


class PowerChip:
    def __init__(self, i2c, address):
        self._i2c = i2c
        self._address = address
        self._on = False

    def _measure(self):
        # Battery voltage and current are measured; the other bits stay as they are.
        if not self._on:
            on = self._i2c.readfrom_mem(self._address, _ADC_ON, 1)[0] | 0xC0
            self._i2c.writeto_mem(self._address, _ADC_ON, bytes((on,)))
            self._on = True

    def battery_mv(self):
        self._measure()
        high, low = self._i2c.readfrom_mem(self._address, _BATTERY, 2)
        return (high << 4 | low & 15) * 11 // 10

    def on_power(self):
        return bool(self._i2c.readfrom_mem(self._address, _STATUS, 1)[0] & _VBUS)


def find(machine, facts):
    # (clock chip, power chip) that board.json names. One that does not answer is there all the
    # same: each use says so by an OSError, and the self-test tells.
    pins = machine.Pin(facts["scl_pin"]), machine.Pin(facts["sda_pin"])
    i2c = machine.I2C(0, scl=pins[0], sda=pins[1], freq=_I2C_HZ)
    rtc = RtcChip(i2c, facts["rtc_address"]) if facts.get("rtc") else None
    power = PowerChip(i2c, facts["pmu_address"]) if facts.get("pmu") else None
    return rtc, power
