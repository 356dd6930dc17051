# What a station may ask of a band once it has proved itself.

from wire import messages, records

from . import app, logread, pull


def answer(session, band, payload):
    # One message, answered. Raises ValueError for one that cannot be read.
    kind = payload[0]
    if kind == messages.PULL:
        pull.pull(session, band.log, payload)
    elif kind == messages.ACK:
        pass  # late, of a stream that is over
    elif kind == messages.CLOCK_GET:
        s, ms = band.clock.run()
        utc_s, utc_ms = band.clock.utc()
        flags = band.clock.flags()
        session.send(messages.clock_now(band.clock.boot_id, s, ms, utc_s, utc_ms, flags))
    elif kind == messages.CLOCK_SET:
        _say(session, _set_utc(band, *messages.read_clock_set(payload)))
    elif kind == messages.RECEIPT:
        _say(session, _take_receipt(band, *messages.read_receipt(payload)))
    elif kind == messages.ORDER:
        from . import orders

        reason = orders.carry_out(band, payload[1:])
        _say(session, reason, messages.CLOCK_NEXT if band.trust.clock_order else 0)
    elif kind == messages.CUE:
        session.send(messages.one(messages.OK))
        band.cues.show(messages.read_one(payload)[0])
    elif kind == messages.STATE_SET:
        _say(session, _issue(band, *messages.read_one(payload)))
    elif kind == messages.SPEED:
        session.change_speed(messages.read_one(payload)[1])
    elif kind == messages.MANIFEST or kind == messages.PIECE:
        from . import update

        update.answer(session, band, payload)
    elif kind == messages.SELF_TEST:
        from . import selftest

        session.send(messages.one(messages.SELF_TEST_OK, 0, selftest.run(band)))
    else:
        session.refuse(messages.UNKNOWN_TYPE)


def _say(session, reason, value=0):
    if reason:
        session.refuse(reason)
    else:
        session.send(messages.one(messages.OK, value))


def _unlogged(band):
    # 0, or why nothing may be done that the log has to tell.
    if band.journal.low:
        return messages.LOW_BATTERY
    return messages.FLASH_FAULT if band.log.fault else 0


def _set_utc(band, utc_s, utc_ms, error_ms):
    # 0, or the reason of REFUSED.
    reason = _unlogged(band)
    if reason:
        return reason
    # One that does not fit this is dropped: it would bar every other setting. While it is not done
    # the server gives it again.
    order, band.trust.clock_order = band.trust.clock_order, None
    if order and order[1] <= utc_s <= order[2]:
        from . import orders

        return orders.set_clock(band, order[0], utc_s, utc_ms, error_ms)
    issued = band.state == records.ISSUED
    if not band.clock.allows(utc_s, issued):
        return messages.CLOCK_JUMP
    if issued:
        step_s = band.clock.step_s(utc_s, utc_ms)
        far = band.trust.walked_s() + step_s > app.FARTHEST_S
        if far or utc_s > band.keys.utc_s() + app.FARTHEST_S:
            return messages.CLOCK_JUMP
        # The mark's own slot: no receipt that ends before it may cover the step.
        band.log.ready(band.clock.run()[0])
        band.trust.walk(step_s, band.log.head)
    if band.provisioned and band.state != records.RETIRED:
        # At once: after a loss of power, time is guessed from where the keys stand. Those of a band
        # that nobody wears may follow any step.
        band.keys.id_at(utc_s, utc_s)
    was = band.clock.utc_s()
    band.clock.accept(utc_s, utc_ms)
    band.journal.clock(records.SOURCE_STATION, error_ms, was)
    band.save(0)
    return 0


def _issue(band, state, number):
    if state not in (records.ISSUED, records.RETURNED) or band.state == records.RETIRED:
        return messages.BAD_STATE
    if state == band.state and number == band.issue_number:
        return 0
    reason = _unlogged(band)
    if reason:
        return reason
    # The state last: asked again after a cut, a band that has it does nothing more.
    if state == records.ISSUED:
        # Out in the field nobody but an order opens the REPL.
        band.trust.lock(True)
    if not band.journal.mark(records.STATE, state, number):
        return messages.FLASH_FAULT
    band.set_state(state, number)
    return 0


def _take_receipt(band, log_id, first, upto, mac):
    log = band.log
    if log_id == log.log_id:
        if upto == log.receipted:
            return 0  # it has this one: its answer was lost
        if logread.accept_receipt(log, first, upto, mac, band.receipt_key, band.serial):
            band.trust.seen(upto)
            return 0
    band.trust.refused(records.REFUSED_RECEIPT)
    return messages.BAD_RECEIPT
