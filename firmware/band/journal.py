# Writes records into the band log at the band's own run time.
#
# A record's time counts from its key group's base, and a new record may open a new group: so
# the log is asked for the base first, and the record is packed then.

from wire import records

# Below this the flash may program wrongly and a brownout is near.
_BATTERY_LOW_MV = 3300


class Journal:
    def __init__(self, log, clock, battery_mv):
        self._log = log
        self._clock = clock
        self._battery_mv = battery_mv
        self.low = False
        self.unwritten = 0

    def check_battery(self):
        # 0 is a board that cannot measure.
        mv = self._battery_mv()
        self.low = 0 < mv < _BATTERY_LOW_MV
        return mv

    def _write(self, pack):
        if self.low or self._log.fault:
            self.unwritten += 1
            return False
        try:
            if not self._append(pack) and not self._append(pack):
                self._log.fail()
        except OSError:
            self.unwritten += 1
            return False
        for reason, first, end in self._log.take_lost():
            if self.loss(reason, first, end):
                self._log.told(end)
        return True

    def _append(self, pack):
        return self._log.append(pack(self._log.ready(self._clock.run()[0])))

    def _now(self, base_s):
        return self._clock.run()[0] - base_s

    def encounter(self, rotating_id, start_s, duration_s, sightings, mean, top, shares, flags):
        self._write(
            lambda base: records.encounter(
                rotating_id, max(0, start_s - base), duration_s, sightings, mean, top, shares, flags
            )
        )

    def clock(self, source, error_ms=0, was_utc_s=0):
        if not self._clock.set:
            return False

        def pack(base):
            s, ms = self._clock.run()
            utc_s, utc_ms = self._clock.utc()
            flags = self._clock.mark_flags()
            return records.clock(s - base, ms, source, flags, utc_s, utc_ms, error_ms, was_utc_s)

        return self._write(pack)

    def boot(self, cause, clean, firmware, resets):
        number = firmware[0] << 16 | firmware[1] << 8 | firmware[2]
        return self._write(lambda base: records.boot(self._now(base), cause, clean, number, resets))

    def mark(self, kind, value, number=0):
        return self._write(lambda base: records.mark(kind, self._now(base), value, number))

    def new_key(self, half, day, key):
        return self._write(lambda base: records.new_key(self._now(base), half, day, key))

    def loss(self, reason, first, end):
        return self._write(lambda base: records.loss(self._now(base), reason, first, end))

    def health(self, counters):
        # counters: the arguments of records.health after the time.
        return self._write(lambda base: records.health(self._now(base), *counters))
