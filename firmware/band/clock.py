# Run time and running UTC of a band.
#
# Run time counts from the last loss of power and has a boot id, drawn anew only then: every
# record is in run time, and the server turns it into UTC with the clock marks. Running UTC
# rides on run time and serves ID rotation alone.

from wire import records, status
from wire.compat import const

_DAY_S = const(86400)
# A band that lost run time may have lain dead for as long as a log lives.
_JUMP_SUSPECT_S = const(1814400)
# 2026-01-01; no clock before the first band is right. A module constant, not const(): beyond
# 30 bits it is a heap integer wherever it stands.
_EARLIEST_UTC_S = 1767225600
_LATEST_UTC_S = 4102444800


class Clock:
    def __init__(self, ticks_ms, ticks_diff, seconds):
        # seconds(): whole seconds that pass through resets and deep sleep (time.time of an
        # ESP32, which nobody sets here), not through a loss of power.
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._seconds = seconds
        self._last = ticks_ms()
        self._ms = 0
        self._s = 0
        self.boot_id = 0
        self.set = False
        self.suspect = False
        self.ahead = False
        # Running UTC minus run time, in seconds and thousandths (0..999).
        self._off_s = 0
        self._off_ms = 0

    # --- run time ---------------------------------------------------------------------------

    def start(self, boot_id):
        # After a loss of power: run time begins at 0 under a new boot id.
        self.boot_id = boot_id
        self._s = 0
        self._ms = 0
        self._last = self._ticks_ms()

    def tick(self):
        # Main loop only, at least every 6 days: ticks_ms wraps at 2**30.
        now = self._ticks_ms()
        self._ms += self._ticks_diff(now, self._last)
        self._last = now
        self._s += self._ms // 1000
        self._ms %= 1000

    def run(self):
        self.tick()
        return self._s, self._ms

    def run_s(self):
        # For the radio's handler: reads only, allocates nothing. It may run in the middle of
        # tick() and then be one window off, which an encounter does not notice.
        return self._s + (self._ms + self._ticks_diff(self._ticks_ms(), self._last)) // 1000

    # --- UTC --------------------------------------------------------------------------------

    def utc(self):
        # (Unix seconds, thousandths), or (0, 0) when unset.
        if not self.set:
            return 0, 0
        s, ms = self.run()
        ms += self._off_ms
        return self._off_s + s + ms // 1000, ms % 1000

    def utc_s(self):
        return self.utc()[0]

    def flags(self):
        return (
            (status.UTC_SET if self.set else 0)
            | (status.UTC_SUSPECT if self.suspect else 0)
            | (status.UTC_AHEAD if self.ahead else 0)
        )

    def mark_flags(self):
        return (records.SUSPECT if self.suspect else 0) | (records.AHEAD if self.ahead else 0)

    def allows(self, utc_s, bound):
        # Whether a step to utc_s may be. bound: the band is issued.
        if not _EARLIEST_UTC_S <= utc_s < _LATEST_UTC_S:
            return False
        if bound and self.set:
            step = abs(utc_s - self.utc_s())
            return step <= (_JUMP_SUSPECT_S if self.suspect else _DAY_S)
        return True

    def step_s(self, utc_s, utc_ms):
        # How far a setting moves running UTC, either way, in seconds begun: many small ones add up.
        if not self.set:
            return 0
        s, ms = self.utc()
        return (abs((utc_s - s) * 1000 + utc_ms - ms) + 999) // 1000

    def accept(self, utc_s, utc_ms):
        # Running UTC is this from now on; checked before.
        self._place(utc_s, utc_ms)
        self.set = True
        self.suspect = False

    def guess(self, utc_s):
        # After a loss of power: the last UTC that the log knows, until a dock says better.
        self._place(utc_s, 0)
        self.set = True
        self.suspect = True

    def _place(self, utc_s, utc_ms):
        s, ms = self.run()
        ms = utc_ms - ms
        self._off_s = utc_s - s + ms // 1000
        self._off_ms = ms % 1000

    # --- across a wake ----------------------------------------------------------------------

    def save(self):
        # (boot id, run s, run ms, seconds, offset s, offset ms, flags) for the RTC memory.
        s, ms = self.run()
        return self.boot_id, s, ms, self._seconds(), self._off_s, self._off_ms, self.flags()

    def restore(self, saved, cold):
        # cold: a reset nobody planned; UTC is then marked suspect until the next dock.
        boot_id, s, ms, seconds, off_s, off_ms, flags = saved
        self.boot_id = boot_id
        self._s = s + max(0, self._seconds() - seconds)
        self._ms = ms
        self._last = self._ticks_ms()
        self._off_s = off_s
        self._off_ms = off_ms
        self.set = bool(flags & status.UTC_SET)
        self.suspect = self.set and (cold or bool(flags & status.UTC_SUSPECT))
        self.ahead = bool(flags & status.UTC_AHEAD)
