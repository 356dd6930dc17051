"""The wire between a virtual band's modules and the air: time, HCI, pins, watchdog.

Packets both ways: type u8, length u16, payload. The band computes in no time at all; when it
waits, the air grants the earliest moment at which something happens. Without STAND_IN_AIR in the
environment (provisioning) time simply stands still.
"""

import _names  # noqa: F401, I001 (first of all)
import struct

import uos
import usocket

HCI_COMMAND = 0x01
HCI_EVENT = 0x04
WAIT = 0xFE
WATCHDOG = 0xFD
PIN_GET = 0xFC
PIN_SET = 0xFB
SLEEP = 0xFA
UART = 0xF9
PIN_EVENT = 0xF8
ADC = 0xF7
RESET = 0xF6
TIMER = 0xF5

STDIN = 1
DEAF = 2

now_us = int(uos.getenv("STAND_IN_NOW_US") or "0")
power_on_us = int(uos.getenv("STAND_IN_POWER_ON_US") or "0")
on_hci = None  # set by bluetooth: called with each event's bytes
timer_us = -1  # set by bluetooth: when a finite scan ends
on_timer = None
on_pin = None  # set by machine.Pin.irq: called when a pin changed while the band waited

_sock = None
_path = uos.getenv("STAND_IN_AIR")
if _path:
    _sock = usocket.socket(usocket.AF_UNIX, usocket.SOCK_STREAM)
    _sock.connect(b"\x01\x00" + _path.encode() + b"\x00")
    _name = (uos.getenv("STAND_IN_NAME") or "").encode()
    _sock.write(struct.pack("<BH", 0x00, len(_name)) + _name)


def send(kind, payload):
    if _sock:
        _sock.write(struct.pack("<BH", kind, len(payload)) + payload)


def _receive():
    head = _sock.read(3)
    if not head or len(head) < 3:
        raise SystemExit
    kind, size = struct.unpack("<BH", head)
    return kind, _sock.read(size)


def ask(kind, payload, wanted):
    """Send, then take packets until one of the wanted type comes; HCI events are handed on."""
    if not _sock:
        return None
    send(kind, payload)
    while True:
        got, data = _receive()
        if got == wanted:
            return data
        if got == HCI_EVENT:
            _take_event(data)


def _take_event(data):
    global now_us
    at = struct.unpack("<Q", data[:8])[0]
    if at > now_us:
        now_us = at
    if on_hci:
        on_hci(data[8:])


def _wait_once(until_us, flags):
    # True: stdin has bytes; None: a pin changed.
    global now_us
    if not _sock:
        if flags & STDIN and uos.getenv("STAND_IN_CABLE"):
            return _wait_on_cable(until_us)
        now_us = max(now_us, until_us)
        return False
    send(WAIT, struct.pack("<QB", until_us, flags))
    while True:
        kind, data = _receive()
        if kind == WAIT:
            now_us, stdin = struct.unpack("<QB", data)
            return bool(stdin)
        if kind == PIN_EVENT:
            now_us = struct.unpack("<Q", data)[0]
            return None
        _take_event(data)


def _wait_on_cable(until_us):
    # A band of its own that is docked: its station lives on the wall clock, so time keeps to it.
    global now_us
    import sys

    import uselect
    import utime

    poll = uselect.poll()
    poll.register(sys.stdin, uselect.POLLIN)
    begun = utime.ticks_us()
    came = bool(poll.poll(max(0, (until_us - now_us + 999) // 1000)))
    if came:
        until_us = min(now_us + utime.ticks_diff(utime.ticks_us(), begun), until_us)
    now_us = max(now_us, until_us)
    return came


def wait(until_us, flags=0):
    """Until a moment, or until stdin has bytes when asked so; True in the second case."""
    global timer_us
    while True:
        timed = 0 <= timer_us < until_us and not flags & DEAF
        stdin = _wait_once(timer_us if timed else until_us, flags)
        if 0 <= timer_us <= now_us:
            timer_us = -1
            on_timer()
        if stdin is None and on_pin:
            on_pin()
        if stdin:
            return True
        if now_us >= until_us:
            return False
