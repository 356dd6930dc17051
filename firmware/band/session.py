# A dock session: answers a station's messages until it says BYE or falls silent.

import micropython

from wire import frames, messages
from wire.compat import const

from . import logread

_IDLE_MS = const(10000)
_POLL_MS = const(100)
# A changed speed that brings no good frame in this time is taken back.
_PROVE_MS = const(1500)
_DRAIN_MS = const(30)
_SPEEDS = (230400, 460800, 921600)


class Session:
    def __init__(self, band, link):
        self._band = band
        self._link = link
        self._repl = link
        self._proved = True
        self._decoder = frames.Decoder()
        self._queue = []
        self._greeted = False
        self._buf = bytearray(messages.DATA_SLOTS * 32)

    def run(self, first_bytes=b""):
        # True when at least one good HELLO came. Bytes that are no frame are ignored.
        quiet_ms = 0
        self._queue += self._decoder.feed(first_bytes)
        try:
            while True:
                if self._queue:
                    quiet_ms = 0
                    self._proved = True
                    if not self._answer(self._queue.pop(0)):
                        break
                    continue
                self._band.feed()
                data = self._link.read(_POLL_MS)
                if data:
                    self._queue += self._decoder.feed(data)
                    continue
                quiet_ms += _POLL_MS
                if not self._proved and quiet_ms >= _PROVE_MS:
                    self._back()
                # Before a HELLO this may be anything, a person at the REPL too: give way soon.
                if quiet_ms >= (_IDLE_MS if self._greeted else 2 * _POLL_MS):
                    break
        finally:
            self._back()
            if self._greeted:
                micropython.kbd_intr(3)
        return self._greeted

    def _send(self, payload):
        self._link.write(frames.encode(payload))

    def _speed(self, baud):
        band = self._band
        if baud not in _SPEEDS or band.board_facts.uart_pins is None:
            self._refuse(messages.BAD_SPEED)
            return
        self._say(0)
        # The answer must be out before the pins change hands.
        self._link.read(_DRAIN_MS)
        self._back()
        self._link = band.fast_link(baud)
        self._proved = False
        self._decoder = frames.Decoder()

    def _back(self):
        if self._link is not self._repl:
            self._link.close()
            self._link = self._repl
            self._decoder = frames.Decoder()
        self._proved = True

    def _refuse(self, reason):
        self._send(messages.one(messages.REFUSED, reason))

    def _say(self, reason):
        if reason:
            self._refuse(reason)
        else:
            self._send(messages.one(messages.OK))

    def _answer(self, payload):
        # False ends the session.
        kind = payload[0]
        try:
            if kind == messages.HELLO:
                self._hello(payload)
                return True
            if not self._greeted:
                return True
            if kind == messages.BYE:
                self._send(messages.one(messages.OK))
                if self._link is not self._repl:
                    self._link.read(_DRAIN_MS)
                return False
            self._handle(kind, payload)
        except ValueError:
            self._refuse(messages.BAD_MESSAGE)
        return True

    def _hello(self, payload):
        protocol, salt = messages.read_hello(payload)
        if protocol != messages.PROTOCOL:
            self._refuse(messages.BAD_MESSAGE)
            return
        band = self._band
        if not self._greeted:
            # From here on 0x03 is data; `run` gives it back.
            micropython.kbd_intr(-1)
            self._greeted = True
        band.cable.begins()
        log = band.log
        flags = band.clock.flags()
        if band.provisioned:
            flags |= messages.PROVISIONED
        if log.fault:
            flags |= messages.LOG_FAULT
        self._send(
            messages.hello_ok(
                band.serial,
                band.board,
                band.firmware,
                band.state,
                salt,
                log.log_id,
                band.clock.boot_id,
                log.tail,
                log.head,
                log.receipted,
                flags,
                band.battery_mv(),
                log.sectors,
            )
        )

    def _handle(self, kind, payload):
        band = self._band
        if kind == messages.PULL:
            self._pull(payload)
        elif kind == messages.ACK:
            pass  # late, of a stream that is over
        elif kind == messages.CLOCK_GET:
            s, ms = band.clock.run()
            utc_s, utc_ms = band.clock.utc()
            self._send(
                messages.clock_now(band.clock.boot_id, s, ms, utc_s, utc_ms, band.clock.flags())
            )
        elif kind == messages.CLOCK_SET:
            self._say(band.set_utc(*messages.read_clock_set(payload)))
        elif kind == messages.RECEIPT:
            log_id, first, upto, mac = messages.read_receipt(payload)
            good = log_id == band.log.log_id and logread.accept_receipt(
                band.log, first, upto, mac, band.receipt_key, band.serial
            )
            self._say(0 if good else messages.BAD_RECEIPT)
        elif kind == messages.CUE:
            self._send(messages.one(messages.OK))
            band.cue(messages.read_one(payload)[0])
        elif kind == messages.STATE_SET:
            self._say(band.issue(*messages.read_one(payload)))
        elif kind == messages.SPEED:
            self._speed(messages.read_one(payload)[1])
        elif kind == messages.SELF_TEST:
            self._send(messages.one(messages.SELF_TEST_OK, 0, band.self_test()))
        else:
            self._refuse(messages.UNKNOWN_TYPE)

    # --- pull -------------------------------------------------------------------------------

    def _pull(self, payload):
        log_id, first, window = messages.read_pull(payload)
        log = self._band.log
        if log_id != log.log_id:
            self._refuse(messages.OTHER_LOG)
            return
        end = log.head
        at = max(first, log.tail)
        if at < end:
            for cursor, slots in logread.preamble(log, at):
                self._send_slots(cursor, slots)
        acked = at
        sent = []  # end cursors of the frames that are on the way
        waited_ms = 0
        while at < end:
            if len(sent) < max(1, window):
                n = self._send_slots(at, min(messages.DATA_SLOTS, end - at))
                if not n:
                    # An unreadable place: the host sees the gap in the cursors.
                    n = 1
                at += n
                sent.append(at)
            full = len(sent) >= max(1, window)
            data = self._link.read(_POLL_MS if full else 0)
            if not data:
                waited_ms = waited_ms + _POLL_MS if full else 0
                if waited_ms > _IDLE_MS:
                    return
                continue
            waited_ms = 0
            for message in self._decoder.feed(data):
                if message[0] != messages.ACK:
                    self._queue.append(message)
                    return
                acked = max(acked, messages.read_ack(message))
            while sent and sent[0] <= acked:
                sent.pop(0)
            self._band.feed()
        self._send(messages.data_end(end))

    def _send_slots(self, cursor, slots):
        view = memoryview(self._buf)[: slots * 32]
        n = self._band.log.read(cursor, view)
        if n:
            self._send(messages.data(cursor, bytes(view[: n * 32])))
        return n
