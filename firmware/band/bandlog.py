# The band log: records into slots, sectors ahead of need, old ones out.

from wire import log as layout
from wire import records
from wire.compat import const

from .ring import Ring

_SLOTS = const(128)
_BASE_BEHIND_S = const(3600)
_TRIES = const(3)
# 21 days of run time, in quarter hours.
_EXPIRE = const(2016)


class BandLog(Ring):
    # --- append -----------------------------------------------------------------------------

    def ready(self, now_s):
        # Make the next slot one for a record; the base that its time counts from.
        if not self._slots:
            raise OSError(1)  # a band without keys writes nothing
        for _ in range(_TRIES):
            need = 1 if self._group else 1 + layout.GROUP_SLOTS
            if self._sector < 0 or self._next + need > _SLOTS:
                self._open(now_s)
            elif not self._group:
                slot = self._next
                self._write_group(now_s, bytes(self.slot(self._sector, 0)))
                if not self._group:
                    self._declare(slot, slot + layout.GROUP_SLOTS)
            if self._group:
                return self._base_s
        self.fail()

    def append(self, record):
        # One slot, programmed once; one that does not read back is left torn, and declared lost.
        # False when the sector ends with such: made ready anew, the next one takes the record.
        for _ in range(_TRIES):
            slot = self._next
            if slot >= _SLOTS:
                return False
            self._next = slot + 1
            self.stepped = True
            if self._program(
                self._sector, slot, self._slots.slot(self.log_id, self._sector, slot, record)
            ):
                return True
            self._declare(slot, slot + 1)
        if self._next < _SLOTS:
            self._declare(self._next, _SLOTS)
            self._next = _SLOTS
        return False

    def fail(self):
        self.fault = True
        raise OSError(5)

    def _declare(self, first, end):
        # Slots of the open sector that the flash did not take: told in the log, so that the
        # server does not wait for them.
        begin = self._sector * _SLOTS
        self.lose(records.LOST_UNREADABLE, begin + first, begin + end)

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
        for _ in range(_TRIES):
            if self._erased != sector:
                self._erase(sector)
            self._store.put("top_sector", sector + 1)
            self._sector = sector
            self._next = 1
            self._group = False
            lived = self.lived(now_s)
            if self._ahead and self._ahead[0] == sector:
                lived = self._ahead[2]
            header = self._header_of(sector, lived)
            if self._blank and self._program(sector, 0, header):
                self._write_group(now_s, header)
                if self._group:
                    return
            self._declare(0, _SLOTS)
            sector += 1
        self.fail()

    def _header_of(self, sector, lived):
        return layout.pack_header(
            self._slots.format, self._slots.key_id, self.log_id, sector, lived
        )

    def _write_group(self, now_s, header):
        sector = self._sector
        if self._ahead and self._ahead[0] == sector and self._next == 1:
            self._base_s = self._ahead[1]
        else:
            self._base_s = max(0, now_s - _BASE_BEHIND_S)
        self._ahead = None
        head = layout.group_head(self._boot_id, self._base_s)
        sealed = self._slots.take(header, head)
        slot = self._next
        self._next = slot + layout.GROUP_SLOTS
        self.stepped = True
        self._group = self._program(sector, slot, layout.pack_group(head, sealed))

    # --- room -------------------------------------------------------------------------------

    def _erase(self, sector):
        # What still stands in this block is the ring's oldest sector.
        old = sector - self.sectors
        if old >= self._tail:
            first = max(self.receipted, old * _SLOTS)
            if first < (old + 1) * _SLOTS:
                self.lose(records.LOST_OVERWRITTEN, first, (old + 1) * _SLOTS)
            self._tail = old + 1
        self._flash.ioctl(6, self._block(sector))
        self._erased = sector
        # A cell that no erase clears any more would spoil a slot later.
        self._blank = True
        for slot in range(_SLOTS):
            if self.slot(sector, slot) != layout.ERASED:
                self._blank = False

    def expire(self, now_s):
        # Erase the oldest sector when all in it is older than 21 days of run time, of every boot
        # together: when a later one was begun that long ago. True when one went.
        sector = self._tail + 1
        while sector <= self._sector:
            found = self._header(self._block(sector))
            if found and found[2] == self.log_id and found[3] == sector:
                if self.lived(now_s) - found[4] <= _EXPIRE:
                    return False
                first = max(self.receipted, self.tail)
                self._tail += 1
                if first < self.tail:
                    self.lose(records.LOST_EXPIRED, first, self.tail)
                self._flash.ioctl(6, self._block(self._tail - 1))
                return True
            sector += 1
        return False

    def prepare(self, now_s):
        # One small step ahead of need, at a quiet moment: an erase takes tens of milliseconds, and
        # sealing the next sector's secret many steps. False when there is nothing to do.
        sector = self._sector + 1
        if not self._slots or self._sector < 0 or self._next < _SLOTS // 2:
            return False
        if self._erased < sector:
            self._erase(sector)
            return True
        if not self._ahead or self._ahead[0] != sector:
            self._ahead = sector, max(0, now_s - _BASE_BEHIND_S), self.lived(now_s)
        head = layout.group_head(self._boot_id, self._ahead[1])
        return not self._slots.prepare(self._header_of(sector, self._ahead[2]), head)
