# The ring of sectors that the band log lives in: what is where, reading, and finding it all again
# after a start. Layout in wire/log.py; band/bandlog.py writes.
#
# A sector number n lives in flash block n % sectors and is never used twice. The tail is the
# oldest sector still in flash, the head the next free slot.

from wire import log as layout
from wire import records
from wire.compat import const

_SLOTS = const(128)
_QUARTER_S = const(900)


class Ring:
    def __init__(self, flash, store, random_u32, slots):
        # slots: what makes slots of records, band/seal.py or band/openslots.py.
        self._flash = flash
        self._slots = slots
        self._store = store
        self._random = random_u32
        self.sectors = flash.ioctl(4, 0)
        self._buf = bytearray(layout.SLOT_BYTES)
        self.log_id = 0
        self.fault = False
        self._tail = 0  # sector number
        self._sector = -1  # open sector number, -1: none yet
        self._next = _SLOTS  # next free slot in the open sector
        self._erased = -1  # sector number already erased for
        self._blank = False  # and whether all of it is
        self._lived = 0  # quarter hours of run time when this boot began
        self._boot_id = 0
        self._base_s = 0
        self._group = False  # the open sector's last group is of this run time
        self._ahead = None  # (sector number, base, lived) that a group is being sealed for
        self.stepped = False  # since somebody looked: keys of slots have passed
        self._lost = []

    # --- age --------------------------------------------------------------------------------

    def lived(self, now_s):
        # Quarter hours of run time over all boots: UTC may be set wrong, and run time alone begins
        # anew whenever power is lost.
        return self._lived + now_s // _QUARTER_S

    def live_on(self, now_s):
        # Every quarter of an hour.
        self._store.put("lived", self.lived(now_s))

    # --- places -----------------------------------------------------------------------------

    @property
    def tail(self):
        return self._tail * _SLOTS

    @property
    def head(self):
        if self._sector < 0:
            return self._tail * _SLOTS
        return self._sector * _SLOTS + self._next

    @property
    def receipted(self):
        return max(self._store.get("receipted", 0), self.tail)

    def keep_receipt(self, upto):
        self._store.put("receipted", upto)

    def lose(self, reason, first, end):
        self._lost.append((reason, first, end))

    def take_lost(self):
        # (reason, first, end) of slots that went before a receipt came; told once.
        lost = self._lost
        self._lost = []
        return lost

    def told(self, end):
        # A loss stands in the log. One of slots that are gone is remembered: a cut between an erase
        # and its mark would leave the server waiting for them.
        if end <= self.tail:
            self._store.put("told", end)

    def recall_lost(self):
        # At a start: what went without a receipt, and without a mark.
        first = max(self._store.get("receipted", 0), self._store.get("told", 0))
        if first < self.tail:
            if self._sector < 0:
                reason = records.LOST_UNREADABLE
            elif self._sector + 2 - self._tail >= self.sectors:
                reason = records.LOST_OVERWRITTEN
            else:
                reason = records.LOST_EXPIRED
            self.lose(reason, first, self.tail)

    def fill_percent(self):
        return (self.head - self.receipted) * 100 // (self.sectors * _SLOTS)

    def _block(self, sector):
        return sector % self.sectors

    def read(self, cursor, buf):
        # Raw slots of one sector from a cursor into buf; how many there were.
        slot = cursor % _SLOTS
        end = self.head
        n = min(len(buf) // layout.SLOT_BYTES, _SLOTS - slot, end - cursor)
        if n <= 0 or cursor < self.tail:
            return 0
        view = memoryview(buf)[: n * layout.SLOT_BYTES]
        self._flash.readblocks(self._block(cursor // _SLOTS), view, slot * layout.SLOT_BYTES)
        return n

    def slot(self, sector, slot):
        # Raw bytes of one slot, good until the next call.
        self._flash.readblocks(self._block(sector), self._buf, slot * layout.SLOT_BYTES)
        return self._buf

    def _header(self, block):
        self._flash.readblocks(block, self._buf, 0)
        return layout.unpack_header(self._buf)

    # --- mount ------------------------------------------------------------------------------

    def mount(self, boot_id, kept=None, now_s=0):
        # kept: what `keep` gave before a reset, None after a loss of power; now_s: run time.
        from . import mount

        self._lived = max(0, self._store.get("lived", 0) - now_s // _QUARTER_S)
        mount.mount(self, boot_id, kept)

    def keep(self):
        # (cursor of the next slot, its secret), for RTC memory.
        return self.head, self._slots.secret if self._group else b""

    def group(self, sector, slot):
        if slot + layout.GROUP_SLOTS > _SLOTS:
            return None
        buf = bytearray(layout.GROUP_SLOTS * layout.SLOT_BYTES)
        self._flash.readblocks(self._block(sector), buf, slot * layout.SLOT_BYTES)
        return layout.unpack_group(bytes(buf))
