# A dock session: lets a station prove itself, then answers its messages until it says BYE or falls
# silent. Before a proof nothing but HELLO is answered; after it nothing that is not of the session.

import gc
import os

import micropython

from wire import frames, handshake, hello, messages, records, status
from wire.compat import const

from . import requests

_IDLE_S = const(10)
# Bytes alone, whatever they are, hold a band no longer.
_UNPROVED_S = const(5)
_PROOF_MS = const(2000)
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
        self._proved = True  # the speed that was changed to
        self._decoder = frames.Decoder()
        self._queue = []
        self._channel = None
        self._nonce = b""  # of the HELLO that waits for its PROOF
        self._greeted = False
        self._heard = False  # a station has just proved itself, or gone on with its session
        self._useless = False  # without keys, and asked
        self.update = None  # one that comes in this session
        self._after = None  # a message to answer when another is done
        self.cramped = False  # something found no room: only a start makes the heap whole again

    def run(self, first_bytes=b""):
        # True when a station proved itself. Bytes that are no frame are ignored.
        run_s = self._band.clock.run_s
        quiet_ms, heard_s = 0, run_s()
        self._queue += self._decoder.feed(first_bytes)
        try:
            while run_s() - heard_s <= (_IDLE_S if self._channel else _UNPROVED_S):
                if self._queue:
                    quiet_ms = 0
                    if not self._answer(self._queue.pop(0)):
                        break
                    if self._heard:
                        self._heard = False
                        heard_s = run_s()
                    continue
                if self._channel:
                    self.feed()
                data = self._link.read(_POLL_MS)
                if data:
                    self._queue += self._decoder.feed(data)
                    continue
                quiet_ms += _POLL_MS
                if not self._proved and quiet_ms >= _PROVE_MS:
                    self._back()
                # Before a HELLO this may be anything, a person at the REPL too: give way soon.
                if not self._channel and quiet_ms >= (_PROOF_MS if self._nonce else 2 * _POLL_MS):
                    break
        finally:
            self._back()
            if self._greeted:
                self._band.trust.let_in()
            if self._useless:
                self._band.cues.show(status.CUE_ERROR)
        return self._greeted

    # --- for band/requests.py and band/pull.py ---------------------------------------------------

    def feed(self):
        self._band.feed()

    def send(self, message):
        if self._channel:
            message = self._channel.seal(message)
        self._link.write(frames.encode(message))

    def refuse(self, reason):
        self.send(messages.one(messages.REFUSED, reason))

    def receive(self, timeout_ms):
        # The next message of this session, None when none came in time.
        if not self._queue:
            self._queue += self._decoder.feed(self._link.read(timeout_ms))
        while self._queue:
            if _greets(self._queue[0]):
                return self._queue.pop(0)
            message = self._open(self._queue.pop(0))
            if message:
                return message
        return None

    def put_back(self, message):
        # Answered after what is under way.
        if _greets(message):
            self._queue.insert(0, message)
        else:
            self._after = message

    # --- who is there -----------------------------------------------------------------------------

    def _hello(self, payload):
        protocol, salt = hello.read_hello(payload)
        if self._channel:
            self._channel = None
            self._heard = True
        if protocol != hello.PROTOCOL:
            self.refuse(messages.BAD_MESSAGE)
            return
        band = self._band
        self._nonce = os.urandom(handshake.NONCE_BYTES)
        group, generation, _ = band.trust.dock
        flags = self._flags()
        self.send(hello.hello_ok(band.serial, group, generation, flags, salt, self._nonce))
        if not band.provisioned:
            # It will not prove anything: seen by staff when the station has gone.
            self._nonce = b""
            self._useless = True

    def _prove(self, payload):
        nonce, mac = hello.read_proof(payload)
        band = self._band
        if not self._nonce:
            return
        nonces = self._nonce + nonce
        self._nonce = b""
        key = band.trust.dock[2]
        if not band.provisioned:
            self.refuse(messages.NOT_PROVISIONED)
            return
        wanted = handshake.proof(key, handshake.HOST, band.serial, nonces)
        if not handshake.same(wanted, mac):
            band.trust.refused(records.REFUSED_PROOF)
            self.refuse(messages.BAD_PROOF)
            return
        if not self._greeted:
            # From here on 0x03 is data; `run` gives it back.
            micropython.kbd_intr(-1)
            self._greeted = True
        band.journal.check_battery()
        band.cable.begins()
        log = band.log
        signer = band.store.get_blob("signer")
        body = hello.welcome(
            band.board,
            band.firmware,
            band.state,
            log.log_id,
            band.clock.boot_id,
            log.tail,
            log.head,
            log.receipted,
            self._flags(),
            band.battery_mv(),
            log.sectors,
            band.trust.order_number,
            signer[0] if signer else 0,
        )
        self.send(body + handshake.proof(key, handshake.BAND, band.serial, nonces + body))
        self._channel = handshake.Channel(key, handshake.BAND, band.serial, nonces)
        self._heard = True
        band.tidy()

    def _flags(self):
        band = self._band
        flags = band.clock.flags() | (status.PROVISIONED if band.provisioned else 0)
        if band.log.fault:
            flags |= status.LOG_FAULT
        if band.trust.locked:
            flags |= status.LOCKED
        return flags

    def _open(self, payload):
        try:
            message = self._channel.open(payload)  # pyright: ignore[reportOptionalMemberAccess]
        except ValueError:
            self._band.trust.refused(records.REFUSED_FRAME)
            return None
        self._proved = self._heard = True
        return message

    # --- messages ---------------------------------------------------------------------------------

    def _answer(self, payload):
        # False ends the session.
        self._after = None
        try:
            if _greets(payload):
                self._hello(payload)
                return True
            if not self._channel:
                if payload[0] == messages.PROOF:
                    self._prove(payload)
                return True
            message = self._open(payload)
            while message:
                if message[0] == messages.BYE:
                    self.send(messages.one(messages.OK))
                    if self._link is not self._repl:
                        self._link.read(_DRAIN_MS)
                    return False
                self._after = None
                requests.answer(self, self._band, message)
                self._band.tidy()
                message = self._after
        except ValueError:
            self.refuse(messages.BAD_MESSAGE)
        except MemoryError:
            self.cramped = True
            gc.collect()
            self.refuse(messages.NO_MEMORY)
        except (OSError, OverflowError):
            # Flash did not take it; the band goes on.
            self.refuse(messages.FLASH_FAULT)
        return True

    # --- speed ------------------------------------------------------------------------------------

    def change_speed(self, baud):
        if baud not in _SPEEDS or self._band.board_facts.uart_pins is None:
            self.refuse(messages.BAD_SPEED)
            return
        self.send(messages.one(messages.OK))
        # The answer must be out before the pins change hands.
        self._link.read(_DRAIN_MS)
        self._back()
        self._link = self._band.fast_link(baud)
        self._proved = False
        self._decoder = frames.Decoder()

    def _back(self):
        if self._link is not self._repl:
            self._link.close()
            self._link = self._repl
            self._decoder = frames.Decoder()
        self._proved = True


def _greets(payload):
    # No message of a session is as short as a HELLO.
    return payload[0] == messages.HELLO and len(payload) == 6
