"""`bluetooth` of an ESP32 over HCI to a Bumble controller, with the port's traps.

- `config(addr_mode=...)` while advertising or scanning says nothing and makes no new address.
- `config("mac")` raises while it is off, and while the address is to be random and none was made.
- `config(rxbuf=...)` raises ValueError; there is no ring buffer on this port.
- A handler that raises is dropped for ever.
- `gap_scan(None)` calls the handler on the spot, and only if a scan ran.
- `connectable=False` sends ADV_SCAN_IND (type 2).
- The handler's memoryviews are overwritten when it returns.
- Switched on when Python's heap has outgrown its first piece, it finds no memory.

Differs from hardware: the handler runs while the band waits, never in the middle of other code.
"""

import gc
import os
import struct

import _air
from micropython import const

_STATUS = const(0x0F)
_COMPLETE = const(0x0E)
_MODES = (0, 1, 2, 3)
# An ESP32's first piece of 56 KiB, and what the stand-ins' names take; words here have 8 bytes.
_FIRST_HEAP = const(2 * 66 * 1024)


class BLE:
    _one = None

    def __new__(cls):
        if BLE._one is None:
            BLE._one = object.__new__(cls)
            BLE._one._init()
        return BLE._one

    def _init(self):
        self._active = self._had_room = False
        self._handler = None
        self._advertising = False
        self._scanning = False
        self._mode = 0
        self._public = b"\x24\x0a\xc4" + (os.getenv("STAND_IN_NAME") or "").encode()[-3:]
        self._random = b""
        self._adv_data = b""
        self._reply = None
        self._addr = bytearray(6)
        self._data = bytearray(31)
        _air.on_hci = self._event
        _air.on_timer = self._scan_ended

    # --- HCI --------------------------------------------------------------------------------

    def _command(self, opcode, params=b""):
        self._reply = None
        _air.send(_air.HCI_COMMAND, struct.pack("<BHB", 1, opcode, len(params)) + params)
        while self._reply is None:
            kind, data = _air._receive()
            if kind == _air.HCI_EVENT:
                self._event(data[8:])
        return self._reply

    def _event(self, packet):
        # packet: 04 event length parameters
        code = packet[1]
        if code == _COMPLETE:
            self._reply = packet[6] if len(packet) > 6 else 0
        elif code == _STATUS:
            self._reply = packet[3]
        elif code == 0x3E and packet[3] == 2:
            n = packet[13]
            for i in range(6):
                self._addr[i] = packet[12 - i]
            self._data[:n] = packet[14 : 14 + n]
            rssi = packet[14 + n]
            rssi -= 256 if rssi > 127 else 0
            self._irq(
                5,
                (packet[6], memoryview(self._addr), packet[5], rssi, memoryview(self._data)[:n]),
            )
            for i in range(n):
                self._data[i] = 0xEE

    def _irq(self, event, data):
        if not self._handler:
            return
        try:
            self._handler(event, data)
        except Exception as error:
            self._handler = None
            print("Unhandled exception in IRQ callback handler", repr(error))

    # --- the module's calls -----------------------------------------------------------------

    def active(self, on=None):
        if on is None:
            return self._active
        if on and not self._active:
            gc.collect()
            if not self._had_room and gc.mem_alloc() > _FIRST_HEAP:
                raise OSError(12)
            self._had_room = True
            self._command(0x0C03)
            self._command(0x0C01, b"\xff" * 8)
            self._command(0x2001, b"\x1f" + bytes(7))
        elif not on and self._active:
            self.gap_advertise(None)
            self.gap_scan(None)
        self._mode = 0
        self._random = b""
        self._active = bool(on)
        os.radio_is(self._active)
        return self._active

    def irq(self, handler):
        self._handler = handler

    def config(self, *names, **settings):
        if names:
            if names[0] == "mac":
                if not self._active:
                    raise OSError(19)
                if not self._mode:
                    return (0, self._public)
                if self._mode == 2 or not self._random:
                    raise OSError(22)
                return (1, self._random)
            raise ValueError("unknown config param")
        for name in settings:
            if name != "addr_mode":
                raise ValueError("unknown config param")
            mode = settings[name]
            if mode not in _MODES:
                raise ValueError("invalid address mode")
            self._mode = mode
            if mode in (1, 3):
                address = bytearray(os.urandom(6))
                address[0] = address[0] & 0x3F | (0xC0 if mode == 1 else 0)
                status = self._command(0x2005, bytes(reversed(address)))
                # Asserts are compiled out: the old address stays and nobody is told.
                if not status:
                    self._random = bytes(address)

    def gap_advertise(self, interval_us, adv_data=None, *, resp_data=None, connectable=True):
        if not self._active:
            raise OSError(19)
        if self._advertising:
            self._command(0x200A, b"\x00")
            self._advertising = False
        if interval_us is None:
            return
        units = interval_us // 625
        if not 0x20 <= units <= 0x4000:
            raise OSError(22)
        if adv_data is not None:
            if len(adv_data) > 31:
                raise OSError(22)
            self._adv_data = bytes(adv_data)
        own = 1 if self._mode else 0
        kind = 0 if connectable else 2
        self._check(
            self._command(0x2006, struct.pack("<HHBBB6sBB", units, units, kind, own, 0, b"", 7, 0))
        )
        data = self._adv_data
        self._check(self._command(0x2008, bytes([len(data)]) + data + bytes(31 - len(data))))
        self._check(self._command(0x200A, b"\x01"))
        self._advertising = True

    def _check(self, status):
        if status:
            raise OSError(-(0x200 + status))

    def gap_scan(self, duration_ms, interval_us=1280000, window_us=11250, active=False):
        if not self._active:
            raise OSError(19)
        if duration_ms is None:
            if self._scanning:
                _air.timer_us = -1
                self._scan_ended()
            return
        if self._scanning:
            raise OSError(114)
        interval = min(max(interval_us // 625, 4), 0x4000)
        window = min(max(window_us // 625, 4), 0x4000)
        own = 1 if self._mode else 0
        self._check(
            self._command(
                0x200B, struct.pack("<BHHBB", 1 if active else 0, interval, window, own, 0)
            )
        )
        self._check(self._command(0x200C, b"\x01\x00"))
        self._scanning = True
        if duration_ms:
            _air.timer_us = _air.now_us + duration_ms * 1000

    def _scan_ended(self):
        self._command(0x200C, b"\x00\x00")
        self._scanning = False
        self._irq(6, ())
