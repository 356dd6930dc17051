# What a band does by order of the tracing server. Loaded when an order comes.
#
# An order that a cut interrupts comes again: each may be carried out twice.

import os

from wire import messages, orders, records


def carry_out(band, data):
    # 0, or the reason of REFUSED.
    trust = band.trust
    if band.journal.low:
        return messages.LOW_BATTERY
    try:
        number, kind, body = orders.unpack(band.receipt_key, band.serial, data)
    except ValueError:
        trust.refused(records.REFUSED_ORDER)
        return messages.BAD_ORDER
    if number <= trust.order_number:
        if number == trust.order_number:
            return 0  # carried out before: its answer was lost
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
        reason = _renew_key(band)
        if reason:
            return reason
    elif kind == orders.DOCK_KEY:
        trust.keep_dock_key(body[:35])
    elif kind == orders.RETIRE:
        band.retire()
    else:
        return messages.UNKNOWN_TYPE
    return 0 if trust.ordered(kind, number) else messages.FLASH_FAULT


def _renew_key(band):
    # 0, or the reason of REFUSED. The server hears of the new key before its first ID goes on air:
    # the log holds it, sealed.
    if band.state == records.RETIRED:
        return 0  # it has no key, and needs none
    utc_s = band.clock.utc_s()
    if not utc_s:
        return messages.BAD_STATE
    if _spent(band.keys):
        return messages.FLASH_FAULT
    base_key = os.urandom(32)
    for half in range(2):
        part = base_key[16 * half : 16 * half + 16]
        if not band.journal.new_key(half, utc_s // 86400, part):
            return messages.FLASH_FAULT
    band.keys.renew(utc_s, base_key)
    return 0


def _spent(keys):
    # Only now: other orders do not need the room.
    from . import keystart

    return keystart.spent(keys)


def set_clock(band, number, utc_s, utc_ms, error_ms):
    # A jump that an order allows: the old keys cannot follow it, so new ones begin there.
    if _spent(band.keys):
        return messages.FLASH_FAULT
    was = band.clock.utc_s()
    band.clock.accept(utc_s, utc_ms)
    band.journal.clock(records.SOURCE_STATION, error_ms, was)
    reason = _renew_key(band)
    if reason:
        return reason
    if not band.trust.ordered(orders.CLOCK, number):
        return messages.FLASH_FAULT
    # It was the server that chose this time: what settings did before is over.
    band.trust.stand()
    return 0
