# What a band watches in itself: battery, heap, losses; told once an hour.

import gc

from wire.compat import const

from .scrub import free_bytes

_HEALTH_S = const(3600)
_QUARTER_S = const(900)
_BATTERY_S = const(60)
# Sectors at a time: each erase takes tens of milliseconds.
_EXPIRE_A_TIME = const(4)
_ALL = const(1 << 29)


class Health:
    def __init__(self, log, journal, encounters, radio):
        self._log = log
        self._journal = journal
        self._encounters = encounters
        self._radio = radio
        self._told_s = 0
        self._battery_s = 0
        self._lived_s = 0
        self._heap_low = _ALL

    def begin(self, now_s):
        self._told_s = now_s
        self._lived_s = now_s
        self.collect()

    def collect(self):
        # At a quiet moment, so that no allocation has to.
        gc.collect()
        # Of what Python has already, since what it could still take from Bluetooth says nothing.
        self._heap_low = min(self._heap_low, free_bytes())

    def watch(self, now_s):
        if now_s - self._battery_s >= _BATTERY_S:
            self._battery_s = now_s
            self._journal.check_battery()
        if now_s - self._lived_s >= _QUARTER_S and not self._journal.low:
            self._lived_s = now_s
            self._log.live_on(now_s)
        if now_s - self._told_s >= _HEALTH_S:
            self._told_s = now_s
            self._tell(now_s)

    def _tell(self, now_s):
        journal = self._journal
        mv = journal.check_battery()
        for _ in range(_EXPIRE_A_TIME):
            if journal.low or not self._log.expire(now_s):
                break
        if journal.low or self._log.fault:
            return  # the next one tells it all
        evicted, unwritten = self._encounters.take_losses()
        refused, errors, late, sightings = self._radio.take_counts()
        unwritten += journal.unwritten
        journal.health((evicted, unwritten, refused, errors, late, mv, self._heap_low, sightings))
        journal.unwritten = 0
