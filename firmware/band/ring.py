# The band log on its raw partition; layout in wire/log.py.
#
# A sector number n lives in flash block n % sectors and is never used twice. The tail is the
# oldest sector still in flash, the head the next free slot.

from wire import log as layout
from wire import records
from wire.compat import const

_SLOTS = const(128)
_EXPIRE_S = const(1814400)
_BASE_BEHIND_S = const(3600)
_ERASED = layout.ERASED


class BandLog:
    def __init__(self, flash, store, random_u32):
        self._flash = flash
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
        self._boot_id = 0
        self._base_s = 0
        self._group = False  # the open sector's last group is of this run time
        self._lost = []

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

    def mount(self, boot_id, now_s, boot_known):
        self._boot_id = boot_id
        known = self._store.get("log_id", 0)
        newest = -1
        for block in range(self.sectors):
            found = self._header(block)
            # A header of another log, or one that stands where it cannot, is no sector of ours.
            if found and found[2] == known and found[3] % self.sectors == block:
                newest = max(newest, found[3])
        if not known:
            known = 0
            while not known:
                known = self._random()
            self._store.put("log_id", known)
        self.log_id = known
        top = self._store.get("top_sector", 0)
        if newest < 0:
            # Nothing readable: go on behind the highest number ever used.
            self._tail = top
            self._sector = -1
            return
        self._tail = max(0, newest - self.sectors + 1)
        while self._tail < newest:
            found = self._header(self._block(self._tail))
            if found and found[2] == known and found[3] == self._tail:
                break
            self._tail += 1
        self._store.put("top_sector", newest + 1)
        self._sector = newest
        self._next = self._first_free(newest)
        self._group = False
        if boot_known:
            self._resume(newest)

    def _first_free(self, sector):
        # Slots are programmed in order, so the erased ones are the sector's end; a torn slot is
        # not erased. Skipped slots before a change of sector stay erased: they are the end too.
        low, high = 1, _SLOTS
        while low < high:
            middle = (low + high) // 2
            if bytes(self.slot(sector, middle)) == _ERASED:
                high = middle
            else:
                low = middle + 1
        return low

    def _resume(self, sector):
        # The run time goes on: so may the newest key group, if it is of this boot.
        for slot in range(self._next - layout.GROUP_SLOTS, 0, -1):
            if layout.starts_group(self.slot(sector, slot)):
                group = self.group(sector, slot)
                if group and group[0] == self._boot_id:
                    self._base_s = group[1]
                    self._group = True
                return

    def group(self, sector, slot):
        if slot + layout.GROUP_SLOTS > _SLOTS:
            return None
        buf = bytearray(layout.GROUP_SLOTS * layout.SLOT_BYTES)
        self._flash.readblocks(self._block(sector), buf, slot * layout.SLOT_BYTES)
        return layout.unpack_group(bytes(buf))

    # --- append -----------------------------------------------------------------------------

    def ready(self, now_s):
        # Make the next slot one for a record; the base that its time counts from.
        need = 1 if self._group else 1 + layout.GROUP_SLOTS
        if self._sector < 0 or self._next + need > _SLOTS:
            self._open(now_s)
        elif not self._group:
            self._write_group(now_s)
        return self._base_s

    def append(self, record):
        # One slot, programmed once; a slot that does not read back is left torn.
        for _ in range(3):
            slot = self._next
            if slot >= _SLOTS:
                break
            tag = layout.tag_open(self.log_id, self._sector, slot, record)
            self._next = slot + 1
            if self._program(self._sector, slot, bytes(record) + tag):
                return
        self.fault = True
        raise OSError(5)

    def _program(self, sector, slot, data):
        at = slot * layout.SLOT_BYTES
        block = self._block(sector)
        self._flash.writeblocks(block, data, at)
        back = bytearray(len(data))
        self._flash.readblocks(block, back, at)
        return bytes(back) == data

    def _open(self, now_s):
        # Up to three blocks are tried, so that one worn-out sector does not end the log.
        sector = self._sector + 1 if self._sector >= 0 else self._tail
        for _ in range(3):
            if self._erased != sector:
                self._erase(sector)
            self._store.put("top_sector", sector + 1)
            self._sector = sector
            self._next = 1
            header = layout.pack_header(layout.FORMAT_OPEN, 0, self.log_id, sector)
            if self._program(sector, 0, header):
                self._write_group(now_s)
                if self._group:
                    return
            sector += 1
        self.fault = True
        raise OSError(5)

    def _write_group(self, now_s):
        self._base_s = max(0, now_s - _BASE_BEHIND_S)
        slot = self._next
        self._next = slot + layout.GROUP_SLOTS
        group = layout.pack_group(self._boot_id, self._base_s, bytes(80))
        self._group = self._program(self._sector, slot, group)

    # --- room -------------------------------------------------------------------------------

    def _erase(self, sector):
        # What still stands in this block is the ring's oldest sector.
        old = sector - self.sectors
        if old >= self._tail:
            first = max(self.receipted, old * _SLOTS)
            if first < (old + 1) * _SLOTS:
                self._lost.append((records.LOST_OVERWRITTEN, first, (old + 1) * _SLOTS))
            self._tail = old + 1
        self._flash.ioctl(6, self._block(sector))
        self._erased = sector

    def expire(self, now_s):
        # Erase the oldest sector when all in it is older than 21 days of run time: when a later
        # one of this boot was begun that long ago. True when one went.
        sector = self._tail + 1
        while sector <= self._sector:
            group = self.group(sector, 1)
            if group and group[0] == self._boot_id:
                if now_s - group[1] - _BASE_BEHIND_S <= _EXPIRE_S:
                    return False
                first = max(self.receipted, self.tail)
                self._tail += 1
                if first < self.tail:
                    self._lost.append((records.LOST_EXPIRED, first, self.tail))
                self._flash.ioctl(6, self._block(self._tail - 1))
                return True
            sector += 1
        return False

    def prepare(self):
        # One small step ahead of need, at a quiet moment: an erase takes tens of milliseconds.
        if self._sector < 0 or self._next < _SLOTS // 2 or self._erased > self._sector:
            return False
        self._erase(self._sector + 1)
        return True

    def take_lost(self):
        # (reason, first, end) of slots that went before a receipt came; told once.
        lost = self._lost
        self._lost = []
        return lost
