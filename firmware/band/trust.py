# Whom a band trusts: the dock key, the number of the last order, the lock, and what it refused.

import struct

from wire import records
from wire.compat import const

_DOCK = "<HB32s"
_NO_DOCK = bytes(35)
_WALK = "<IIII"
_NO_WALK = bytes(16)
# Somebody with a cable could fill the log with marks.
_TELL_S = const(900)
_MOST = const(65535)


class Trust:
    def __init__(self, store, journal):
        self._store = store
        self._journal = journal
        # Whose key the dock key was made of (group, generation), and the key itself: one entry, so
        # that a cut leaves the old or the new.
        self.dock = struct.unpack(_DOCK, store.get_blob("dock") or _NO_DOCK)
        self.order_number = store.get("order", 0)
        self.locked = bool(store.get("locked", 0))
        # (number, earliest UTC, latest UTC) of an order that waits for the clock to be set.
        self.clock_order = None
        # How far settings have moved an issued band's clock, in seconds, that the server has not
        # seen yet: a sum, and the cursor of the last setting in it; then the settings behind those
        # the same way. A receipt that comes some docks late still covers the first sum.
        self._walk = struct.unpack(_WALK, store.get_blob("walk") or _NO_WALK)
        self._refused = {}
        self._told_s = 0

    def lock(self, on):
        self._store.put("locked", 1 if on else 0)
        self.locked = on

    def let_in(self):
        # The session is over: Ctrl-C may stop the program again, unless the band is locked.
        if not self.locked:
            import micropython

            micropython.kbd_intr(3)

    def keep_dock_key(self, body):
        self._store.put_blob("dock", body)
        self.dock = struct.unpack(_DOCK, body)

    def ordered(self, kind, number):
        # False when the log does not take it: then it may come again.
        if not self._journal.mark(records.ORDER, kind, number):
            return False
        # A clock's order is done later than it came: another may have been done meanwhile.
        self.order_number = max(number, self.order_number)
        self._store.put("order", self.order_number)
        return True

    def walked_s(self):
        return self._walk[0] + self._walk[2]

    def walk(self, step_s, cursor):
        # A setting is to move the clock, and stands in the log at this cursor.
        first_s, first_at, later_s, later_at = self._walk
        if not first_s:
            first_s, first_at, later_s = later_s, later_at, 0
        self._keep_walk(first_s, first_at, later_s + step_s, cursor)

    def seen(self, upto):
        # The server has the log up to a cursor, and so the settings before it: no others count, or
        # a station could save receipts up.
        first_s, first_at, later_s, later_at = self._walk
        if later_s and upto > later_at:
            self.stand()
        elif first_s and upto > first_at:
            self._keep_walk(0, 0, later_s, later_at)

    def stand(self):
        self._keep_walk(0, 0, 0, 0)

    def _keep_walk(self, *walk):
        # One entry, so that a cut leaves the old or the new.
        self._store.put_blob("walk", struct.pack(_WALK, *walk))
        self._walk = walk

    def refused(self, what):
        self._refused[what] = min(_MOST, self._refused.get(what, 0) + 1)

    def watch(self, now_s):
        # Refusals into the log, now and then.
        if not self._refused or 0 < self._told_s > now_s - _TELL_S:
            return
        self._told_s = now_s
        refused, self._refused = self._refused, {}
        for what in refused:
            self._journal.mark(records.REFUSAL, what, refused[what])
