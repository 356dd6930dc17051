# Finding head and tail of a band log after a start, by its headers and the open sector's slots.
# Loaded then, and forgotten.

from wire import log as layout
from wire import records
from wire.compat import const

_SLOTS = const(128)
_ERASED = layout.ERASED


def mount(ring, boot_id, kept=None):
    # kept: what `keep` gave before a reset, None after a loss of power.
    ring._boot_id = boot_id
    known = ring._store.get("log_id", 0)
    newest = -1
    for block in range(ring.sectors):
        found = ring._header(block)
        # A header of another log, or one that stands where it cannot, is no sector of ours.
        if found and found[2] == known and found[3] % ring.sectors == block:
            newest = max(newest, found[3])
    if not known:
        known = 0
        while not known:
            known = ring._random()
        ring._store.put("log_id", known)
    ring.log_id = known
    top = ring._store.get("top_sector", 0)
    if newest < 0:
        # Nothing readable: go on behind the highest number ever used.
        ring._tail = top
        ring._sector = -1
        ring.recall_lost()
        return
    ring._tail = max(0, newest - ring.sectors + 1)
    while ring._tail < newest:
        found = ring._header(ring._block(ring._tail))
        if found and found[2] == known and found[3] == ring._tail:
            break
        ring._tail += 1
    ring._store.put("top_sector", newest + 1)
    ring._sector = newest
    ring.recall_lost()
    ring._next = _first_free(ring, newest)
    ring._group = False
    if kept and kept[1]:
        _resume(ring, newest, kept)


def _first_free(ring, sector):
    # Slots are programmed in order, so the erased ones are the sector's end; a torn slot is
    # not erased. One that flash did not take at all may look so: the server is not to wait for it.
    free = _SLOTS
    while free > 1 and ring.slot(sector, free - 1) == _ERASED:
        free -= 1
    for slot in range(1, free):
        if ring.slot(sector, slot) == _ERASED:
            at = sector * _SLOTS + slot
            ring.lose(records.LOST_UNREADABLE, at, at + 1)
    return free


def _resume(ring, sector, kept):
    # The run time goes on: so may the newest key group, if it is of this boot and the secret
    # that was kept is the next slot's. A slot that was begun since may be torn: a new group
    # behind it says so, as after a loss of power.
    cursor, secret = kept
    if cursor != ring.head:
        return
    for slot in range(ring._next - layout.GROUP_SLOTS, 0, -1):
        if layout.starts_group(ring.slot(sector, slot)):
            group = ring.group(sector, slot)
            first = sector * _SLOTS + slot + layout.GROUP_SLOTS
            if group and group[0] == ring._boot_id and cursor >= first:
                ring._base_s = group[1]
                ring._group = True
                ring._slots.resume(secret)
            return
