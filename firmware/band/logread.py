# Reading a band log: for pulls and receipts.

import hashlib

from wire import log as layout
from wire import receipt as receipts
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
        # One that a cut left torn may hold the begin of the next.
        if layout.starts_group(log.slot(sector, at)) and log.group(sector, at):
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
