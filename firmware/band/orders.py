# What a band does by order of the tracing server. Loaded when an order comes.
#
# An order that a cut interrupts comes again: each may be carried out twice.

import os

from wire import messages, orders, records


def carry_out(band, data):
    # 0, or the reason of REFUSED.
    trust = band.trust
    try:
        number, kind, body = orders.unpack(band.receipt_key, band.serial, data)
    except ValueError:
        trust.refused(records.REFUSED_ORDER)
        return messages.BAD_ORDER
    if number <= trust.order_number:
        trust.refused(records.REFUSED_ORDER)
        return messages.OLD_ORDER
    if kind == orders.CLOCK:
        # Done when the clock is set.
        earliest_s, latest_s = orders.read_clock(body)
        trust.clock_order = number, earliest_s, latest_s
        return 0
    if kind == orders.UNLOCK:
        trust.lock(False)
    elif kind == orders.REKEY:
        if not _renew_key(band):
            return messages.FLASH_FAULT
    elif kind == orders.DOCK_KEY:
        trust.keep_dock_key(body[:35])
    elif kind == orders.RETIRE:
        band.retire()
    else:
        return messages.UNKNOWN_TYPE
    trust.ordered(kind, number)
    return 0


def _renew_key(band):
    # The server hears of the new key before its first ID goes on air: the log holds it, sealed.
    utc_s = band.clock.utc_s()
    if not utc_s:
        return False
    base_key = os.urandom(32)
    for half in range(2):
        part = base_key[16 * half : 16 * half + 16]
        if not band.journal.new_key(half, utc_s // 86400, part):
            return False
    band.keys.renew(utc_s, base_key)
    return True


def set_clock(band, utc_s, utc_ms, error_ms):
    # A jump that an order allows: the old keys cannot follow it, so new ones begin there.
    number, earliest_s, latest_s = band.trust.clock_order
    if not earliest_s <= utc_s <= latest_s:
        return messages.CLOCK_JUMP
    band.trust.clock_order = None
    band.trust.walk(-band.trust.walked_s, band.log.head)
    was = band.clock.utc_s()
    band.clock.accept(utc_s, utc_ms)
    band.journal.clock(records.SOURCE_STATION, error_ms, was)
    if not _renew_key(band):
        return messages.FLASH_FAULT
    band.trust.ordered(orders.CLOCK, number)
    return 0
