# Reading a band log: for pulls, receipts, the last known time and the age of its sectors.

import hashlib

from wire import log as layout
from wire import receipt as receipts
from wire import records
from wire.compat import const
from wire.mac import same

_SLOTS = const(128)


def preamble(log, cursor):
    # What a pull that starts inside a sector sends first: its header and key groups.
    sector, slot = cursor // _SLOTS, cursor % _SLOTS
    if not slot:
        return []
    out = [(sector * _SLOTS, 1)]
    at = 1
    while at + layout.GROUP_SLOTS <= slot:
        if layout.starts_group(log.slot(sector, at)):
            out.append((sector * _SLOTS + at, layout.GROUP_SLOTS))
            at += layout.GROUP_SLOTS
        else:
            at += 1
    return out


def accept_receipt(log, first, upto, mac, key, serial):
    # True when the server's receipt is genuine; the cursor then lasts in NVS.
    if first != log.receipted or not first < upto <= log.head:
        return False
    digest = hashlib.sha256()
    buf = bytearray(1024)
    at = first
    while at < upto:
        n = min(log.read(at, buf), upto - at)
        if not n:
            return False
        digest.update(memoryview(buf)[: n * layout.SLOT_BYTES])
        at += n
    wanted = receipts.mac(key, serial, log.log_id, first, upto, digest.digest())
    if not same(wanted, mac):
        return False
    log.keep_receipt(upto)
    return True


def last_clock(log):
    # (run time s, boot id, UTC s) of the newest clock mark in the last three sectors.
    newest = log.head // _SLOTS
    for sector in range(newest, max(log.tail // _SLOTS, newest - 2) - 1, -1):
        found = _last_clock_in(log, sector)
        if found:
            return found
    return None


def _last_clock_in(log, sector):
    end = min(_SLOTS, log.head - sector * _SLOTS)
    newest = None
    boot_id = base_s = 0
    slot = 1
    while slot < end:
        data = bytes(log.slot(sector, slot))
        group = log.group(sector, slot) if layout.starts_group(data) else None
        if group:
            boot_id, base_s = group[0], group[1]
            slot += layout.GROUP_SLOTS
            continue
        record = data[: layout.RECORD_BYTES]
        if record[0] == records.CLOCK:
            if data[layout.RECORD_BYTES :] == layout.tag_open(log.log_id, sector, slot, record):
                mark = records.read_clock(record)
                newest = (base_s + mark[0], boot_id, mark[4])
        slot += 1
    return newest
