"""`time` of an ESP32 in the air's virtual time: integer seconds, ticks that wrap at 2**30.

`time()` counts from the last loss of power and nobody sets it. Differs from hardware: code
takes no time to run, only waiting and flash work do.
"""

import _air
from micropython import const
from utime import gmtime, localtime, mktime  # noqa: F401

_WRAP = const(1 << 30)


def ticks_ms():
    return _air.now_us // 1000 % _WRAP


def ticks_us():
    return _air.now_us % _WRAP


ticks_cpu = ticks_us


def ticks_add(ticks, delta):
    return (ticks + delta) % _WRAP


def ticks_diff(a, b):
    return (a - b + _WRAP // 2) % _WRAP - _WRAP // 2


def time():
    return (_air.now_us - _air.power_on_us) // 1000000


def sleep_us(us):
    if us > 0:
        _air.wait(_air.now_us + us)


def sleep_ms(ms):
    sleep_us(ms * 1000)


def sleep(seconds):
    sleep_us(int(seconds * 1000000))
