# Beacons and listening windows on a BLE radio.
#
# Traps of an ESP32 that this module is built around: the address can change only while neither
# advertising nor scanning runs, and is refused in silence otherwise; a handler that raises is
# dropped for ever; the handler's memoryviews die with it; stopping a scan calls the handler on
# the spot; a non-connectable advertiser sends type 2.

import os

from wire import bluezone
from wire.compat import const

_IRQ_SCAN_RESULT = const(5)
_IRQ_SCAN_DONE = const(6)
_ADV_DIRECT = const(1)
_ADV_NONCONN = const(3)
_NON_RESOLVABLE = const(3)
_TRIES = const(3)


class Radio:
    def __init__(self, ble, config, encounters, now_s):
        self._ble = ble
        self._config = config
        self._seen = encounters.seen
        self._now_s = now_s
        self._scanning = False
        self._stopping = False
        self._over = False
        self._on = False
        self.advertising = False
        self.sightings = 0
        self.refused_rotations = 0
        self.handler_errors = 0
        self.late_scans = 0

    def start(self):
        if not self._on:
            # The controller starts on its public address: rotate() always follows. A band's is on
            # already (band/run.py).
            if not self._ble.active():
                self._ble.active(True)
            self._on = True
        self._ble.irq(self._irq)

    def _irq(self, event, data):
        # Runs on the radio's own task: short, and it may not raise. Nothing stays on the heap; its
        # larger calls have frames and arguments there while they last, and on the stack when there
        # is no room.
        try:
            if event == _IRQ_SCAN_RESULT:
                addr_type, _, adv_type, rssi, adv_data = data
                if adv_type == _ADV_DIRECT or adv_type > _ADV_NONCONN:
                    return
                at = bluezone.find_id(adv_data)
                if at >= 0:
                    self.sightings += 1
                    self._seen(adv_type, addr_type, rssi, adv_data, at, self._now_s())
            elif event == _IRQ_SCAN_DONE:
                self._scanning = False
                if not self._stopping:
                    self._over = True
        except Exception:  # a handler that raises is never called again
            self.handler_errors += 1

    def rotate(self, rotating_id):
        # New ID and new address in one step. False leaves the band silent.
        self.start()
        self.stop()
        for _ in range(_TRIES):
            if self._renew():
                self._ble.gap_advertise(
                    self._config.adv_interval_ms * 1000,
                    bluezone.beacon(rotating_id),
                    connectable=False,
                )
                self.advertising = True
                return True
            self.refused_rotations += 1
            self.stop()
        return False

    def _renew(self):
        # A new address; False when it was refused.
        before = self._address()
        self._ble.config(addr_mode=_NON_RESOLVABLE)
        after = self._address()
        return after is not None and after != before

    def _address(self):
        try:
            kind, address = self._ble.config("mac")
            return kind, bytes(address)
        except OSError:
            # Its first random address was refused, and it goes by none any more.
            return None

    def stop(self):
        if not self._on:
            return
        self._ble.gap_advertise(None)
        self.advertising = False
        self._stopping = True
        self._ble.gap_scan(None)
        self._stopping = False
        self._scanning = False

    def off(self):
        # Before a reset: an ESP32 whose Bluetooth is up may not come back from one.
        self.stop()
        if self._on:
            self._ble.active(False)
            self._on = False

    def open_window(self):
        # One finite, passive scan; the radio listens all through it.
        self.start()
        if self._scanning:
            # The last one never ended: count it, stop it, and do not feed the watchdog for it.
            self.late_scans += 1
            self._stopping = True
            self._ble.gap_scan(None)
            self._stopping = False
        self._over = False
        self._scanning = True
        window_us = self._config.window_ms * 1000
        try:
            self._ble.gap_scan(self._config.window_ms, window_us, window_us, False)
        except OSError:
            self.handler_errors += 1
            self._scanning = False

    def window_over(self):
        # Whether the scan ended, and by itself.
        return self._over

    def window_ms(self):
        return self._config.window_ms

    def next_delay_ms(self):
        # Rest of the period, with a random phase: two bands never stay in step.
        rest = self._config.period_ms - self._config.window_ms
        spread = rest // 2
        r = os.urandom(2)
        return rest - spread // 2 + (r[0] | r[1] << 8) * spread // 65536

    def works(self):
        # Self-test: a scan starts, and the address can be changed.
        try:
            self.start()
            self.stop()
            return self._renew()
        except OSError:
            return False

    def take_counts(self):
        # (refused rotations, handler errors, late scans, sightings) since the last call.
        counts = (self.refused_rotations, self.handler_errors, self.late_scans, self.sightings)
        self.refused_rotations = 0
        self.handler_errors = 0
        self.late_scans = 0
        self.sightings = 0
        return counts
